"""Where a caller is: addresses, and networks in CIDR notation (RFC 4632, RFC 4291)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from modelyard.core.errors import Invalid


def parse_networks(texts: Iterable[str]) -> tuple[str, ...]:
    """The networks in the form in which they are kept; an address is a network of its own.

    Raises:
        Invalid: one is neither.
    """
    parsed = []
    for text in texts:
        try:
            parsed.append(str(ip_network(text.strip())))
        except ValueError:
            raise Invalid(
                f"{text[:60]!r} is no network such as 10.1.0.0/16 or 2001:db8::/32, nor an address"
            ) from None
    return tuple(dict.fromkeys(parsed))


@lru_cache(maxsize=4096)
def within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether the address lies in one of the networks; what is no address lies in none."""
    try:
        known = ip_address(address)
    except ValueError:
        return False
    if isinstance(known, IPv6Address) and known.ipv4_mapped is not None:
        # How a socket of both families tells of a caller by IPv4.
        known = known.ipv4_mapped
    return any(known in ip_network(network) for network in networks)


def covered(networks: tuple[str, ...], by: tuple[str, ...]) -> bool:
    """Whether each of the networks lies in one of the others."""
    outer = [ip_network(network) for network in by]
    return all(
        any(
            inner.version == other.version and inner.subnet_of(other)  # type: ignore[arg-type]
            for other in outer
        )
        for inner in map(ip_network, networks)
    )


def caller(peer: str, forwarded: bytes, proxies: tuple[str, ...]) -> str:
    """The caller's address: the peer's, or behind proxies that are trusted what they say of it.

    `forwarded` is the value of `X-Forwarded-For`, to which each proxy adds the address that it was
    called from: read from its end, it is believed as far as trusted proxies have written it.
    """
    hops = [hop.strip() for hop in forwarded.decode("latin-1").split(",")] if forwarded else []
    address = peer
    while hops and within(address, proxies):
        address = hops.pop()
    return address
