import pytest

from modelyard.core.addresses import caller, covered, parse_networks, within
from modelyard.core.errors import Invalid

PROXIES = ("10.0.0.0/8", "::1/128")


def test_networks_are_kept_in_one_form_and_once() -> None:
    given = [" 10.0.0.1 ", "10.0.0.1/32", "2001:DB8::/32"]
    assert parse_networks(given) == ("10.0.0.1/32", "2001:db8::/32")


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", "x" * 99])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no network"):
        parse_networks([text])


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::1", True),
        ("11.0.0.1", False),
        ("::2", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_an_address_lies_in_a_network_or_not(address: str, inside: bool) -> None:
    assert within(address, PROXIES) is inside


def test_networks_lie_in_others() -> None:
    assert covered(("10.2.0.0/16", "::1/128"), PROXIES)
    assert not covered(("0.0.0.0/0",), PROXIES)
    assert not covered(("::/0",), ("0.0.0.0/0",))


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("9.9.9.9", b"1.1.1.1", "9.9.9.9"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", b"6.6.6.6, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", b"6.6.6.6,1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.1", b"10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", b"\xff", "\xff"),
    ],
)
def test_only_trusted_proxies_tell_where_a_caller_is(
    peer: str, forwarded: bytes, found: str
) -> None:
    assert caller(peer, forwarded, PROXIES) == found
