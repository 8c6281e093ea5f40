"""What a client may send over a connection, how long it may take, and how many may be there."""

from __future__ import annotations

from typing import Self

import msgspec

from modelyard.core.settings import Settings


class ConnectionLimits(msgspec.Struct, frozen=True):
    """Sizes are in bytes, times in seconds. Those that count over connections hold in one gateway.

    A body may take `body_seconds` and as long again as what has come of it takes at `least_rate`
    (bytes a second). When the server stops, a head that has begun to come has `drain_seconds` for
    the rest. A body of `large_body` bytes or more is read only for a good key, and into a buffer
    of its own. Of the requests that a client is ahead of its answers, `max_pipeline` are read, or
    as many as have `max_ahead` bytes of body. `max_inflight` is for the bodies of all requests
    that are not answered. `max_connections_per_address` of 0 is no bound.
    """

    max_body: int
    max_inflight: int = 512 << 20
    max_url: int = 8 * 1024
    max_head: int = 32 * 1024
    max_headers: int = 100
    max_pipeline: int = 64
    max_ahead: int = 256 * 1024
    max_connections: int = 4096
    max_connections_per_address: int = 1024
    large_body: int = 64 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    idle_seconds: float = 75.0
    send_seconds: float = 30.0
    linger_seconds: float = 2.0
    drain_seconds: float = 1.0
    look_seconds: float = 1.0
    least_rate: int = 16 * 1024

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the operator has set."""
        return cls(
            max_body=settings.max_request_bytes,
            max_inflight=max(settings.max_inflight_bytes, settings.max_request_bytes),
            max_url=settings.max_url_bytes,
            max_head=settings.max_header_bytes,
            max_headers=settings.max_headers,
            max_connections=settings.max_connections,
            max_connections_per_address=settings.max_connections_per_address,
            head_seconds=settings.header_seconds,
            body_seconds=settings.body_seconds,
            idle_seconds=settings.idle_seconds,
            send_seconds=settings.send_seconds,
            least_rate=settings.min_body_rate,
        )
