"""The HTTP client that asks providers, as this room needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from modelyard.core.http_timeouts import HttpTimeouts


class HttpCall(msgspec.Struct, frozen=True):
    """One request. `headers` may hold a key."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeouts: HttpTimeouts = HttpTimeouts()

    def __repr__(self) -> str:
        return f"HttpCall({self.method})"


class HttpAnswer(Protocol):
    """What came, of which the body is yet to be read. `headers` have names in lower case."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The next part of the body, as it comes; empty at its end. Raises UpstreamFailed."""
        ...

    def close(self) -> None:
        """Nothing more is wanted: what is still on its way is cut off."""
        ...


class HttpCalls(Protocol):
    """Asks others. Follows no redirect, keeps no cookie, uses no proxy, and connects only to
    addresses that it may.
    """

    async def open(self, call: HttpCall) -> HttpAnswer:
        """Send the request; returns when the answer has begun. Raises UpstreamFailed."""
        ...


async def read_whole(answer: HttpAnswer, most: int) -> bytes | None:
    """The body; None if it has more than `most` bytes. Raises UpstreamFailed."""
    parts, size = [], 0
    while part := await answer.read():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)
