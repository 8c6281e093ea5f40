"""The load generator: connections that send the same request again as soon as it is answered.

Runs as a process of its own, pinned to another core than the server.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import httptools
import msgspec
import uvloop


class Order(msgspec.Struct):
    """What to send, and for how long."""

    host: str
    port: int
    path: str
    key: str
    body: bytes
    connections: int
    seconds: float


class Tally(msgspec.Struct):
    """What came back. Latencies in microseconds."""

    answered: int
    failed: int
    seconds: float
    p50: float
    p99: float
    last: bytes


class _Client(asyncio.Protocol):
    """One connection, closed loop."""

    def __init__(self, request: bytes, stop_at: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._stop_at = stop_at
        self._done = done
        self.latencies: list[float] = []
        self.failed = 0
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self.failed += 1
            self._done.set_result(None)

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.latencies.append((time.perf_counter() - self._sent) * 1e6)
        self.failed += self._parser.get_status_code() != 200
        if time.perf_counter() < self._stop_at:
            self._send()
        elif not self._done.done():
            self._done.set_result(None)

    def _send(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def run(order: Order) -> Tally:
    """Send the order's requests."""
    head = (
        f"POST {order.path} HTTP/1.1\r\nHost: {order.host}\r\n"
        f"Authorization: Bearer {order.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(order.body)}\r\n\r\n"
    )
    request = head.encode() + order.body
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    clients, ends = [], []
    for _ in range(order.connections):
        done = loop.create_future()
        client = _Client(request, start + order.seconds, done)
        await loop.create_connection(lambda c=client: c, order.host, order.port)  # type: ignore[misc]
        clients.append(client)
        ends.append(done)
    await asyncio.wait(ends, timeout=order.seconds + 30)
    latencies = sorted(each for client in clients for each in client.latencies)
    return Tally(
        answered=len(latencies),
        failed=sum(client.failed for client in clients),
        seconds=time.perf_counter() - start,
        p50=latencies[len(latencies) // 2] if latencies else 0.0,
        p99=latencies[int(len(latencies) * 0.99)] if latencies else 0.0,
        last=clients[0].body,
    )


def main() -> None:
    """Read an order from standard input, write the tally to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(order))))


if __name__ == "__main__":
    main()
