"""Which addresses a provider may have: those of the public internet, and what the operator allows.

Whoever may add a provider has this server send requests. Without these rules that would reach
the host's own services, its neighbours, and the metadata of its cloud, whose answers are keys.
The reserved ranges are those of IANA's special-purpose registries (RFC 6890 and its updates).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from modelyard.core.errors import Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by providers' customers (CGNAT), and a cloud's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host service, in a public range
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL: Final = IPv6Network("2000::/3")
_NOT_GLOBAL: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, among them Teredo, which holds other addresses
        "2001:db8::/32",
        "2002::/16",  # 6to4, which holds other addresses
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


class AddressRules:
    """What may be connected to."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    @classmethod
    def parse(cls, text: str) -> AddressRules:
        """Ranges such as `10.1.0.0/16,::1/128`, beside what is public.

        Raises:
            Invalid: one is none.
        """
        parts = [part.strip() for part in text.split(",")]
        try:
            return cls(ip_network(part) for part in parts if part)
        except ValueError as error:
            raise Invalid(
                f"provider_allow must be ranges such as 10.1.0.0/16, with commas between: {error}"
            ) from None

    def allow(self, text: str) -> bool:
        """Whether this address, in digits, may be connected to."""
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._allowed):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _NOT_PUBLIC)
        return address in _GLOBAL and not any(address in network for network in _NOT_GLOBAL)
