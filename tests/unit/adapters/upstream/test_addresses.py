"""Which addresses providers may have."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters.upstream.addresses import AddressRules
from modelyard.core.errors import Invalid

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]
NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - not to listen on
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_allowed(address: str) -> None:
    assert AddressRules().allow(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_nothing_else_is(address: str) -> None:
    assert not AddressRules().allow(address)


@pytest.mark.parametrize(
    "text", ["localhost", "", "127.1", "0x7f000001", "2130706433", "1.1.1.1:80"]
)
def test_what_is_no_address_is_not(text: str) -> None:
    assert not AddressRules().allow(text)


@given(st.ip_addresses())
def test_never_more_than_the_standard_library_calls_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if AddressRules().allow(str(address)):
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_unspecified


@given(st.ip_addresses(v=4))
def test_an_address_is_the_same_inside_another(address: ipaddress.IPv4Address) -> None:
    assert AddressRules().allow(f"::ffff:{address}") == AddressRules().allow(str(address))


def test_the_operator_allows_ranges_and_no_more() -> None:
    rules = AddressRules.parse(" 127.0.0.0/8, 10.1.0.0/16,fd00::/8 ,")
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3", "fd12::1", "1.1.1.1"):
        assert rules.allow(address)
    for address in ("10.2.0.1", "::1", "169.254.169.254"):
        assert not rules.allow(address)


@pytest.mark.parametrize("text", ["10.1.0.0/99", "localhost", "10.0.0.1/8"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="provider_allow"):
        AddressRules.parse(text)
