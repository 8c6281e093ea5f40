"""What a client may send over a connection, and how long it may take."""

from __future__ import annotations

import msgspec


class ConnectionLimits(msgspec.Struct, frozen=True):
    """Sizes are in bytes, times in seconds.

    A body may take `body_seconds` and as long again as it takes at `least_rate` (bytes a second).
    When the server stops, a head that has begun to come has `drain_seconds` for the rest.
    One of `large_body` bytes or more is read only for a good key, and into a buffer of its own.
    """

    max_body: int
    max_head: int = 32 * 1024
    max_headers: int = 100
    max_pipeline: int = 64
    large_body: int = 64 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    idle_seconds: float = 75.0
    send_seconds: float = 30.0
    linger_seconds: float = 2.0
    drain_seconds: float = 1.0
    look_seconds: float = 1.0
    least_rate: int = 16 * 1024
