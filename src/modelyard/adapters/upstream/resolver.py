"""Names become addresses once, and only addresses that are allowed become connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from modelyard.adapters.upstream.addresses import AddressRules

Found = tuple[socket.AddressFamily, str]
Lookup = Callable[[str, int], Awaitable[list[Found]]]
"""A name's addresses."""


class NotAllowed(OSError):
    """An address that may not be connected to."""


async def look_up(host: str, port: int) -> list[Found]:
    """As this host finds them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, str(address[0])) for family, _, _, _, address in found]


class CheckedResolver(AbstractResolver):
    """What it gives is what is connected to. One address of a name that is not allowed, and none
    of them is.
    """

    def __init__(self, rules: AddressRules, lookup: Lookup) -> None:
        self._rules = rules
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError: there are none, or NotAllowed."""
        found = await self._lookup(host, port)
        if not found:
            raise OSError("the name has no address")
        if not all(self._rules.allow(address) for _, address in found):
            raise NotAllowed("an address of the name is not allowed")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=of,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for of, address in found
            if family in (socket.AF_UNSPEC, of)
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def checked_socket(rules: AddressRules) -> Callable[[Any], socket.socket]:
    """Makes the sockets of connections: the last look at where one goes, whoever has named it."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not rules.allow(str(address[0])):
            raise NotAllowed("the address is not allowed")
        return socket.socket(family, kind, protocol)

    return make
