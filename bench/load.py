"""The load generator: connections that send the same request again as soon as it is answered.

Runs as a process of its own, pinned to another core than the server.
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from typing import cast

import httptools
import msgspec
import uvloop


class Order(msgspec.Struct):
    """What to send, and for how long."""

    port: int
    path: str
    headers: dict[str, str]
    body: bytes
    connections: int
    seconds: float


class Last(msgspec.Struct):
    """The last answer of a connection."""

    body: bytes
    header_length: str | None = None
    status: int = 0


class Tally(msgspec.Struct):
    """What came back. Latencies in microseconds; `cpu` is the generator's own, in seconds."""

    answered: int
    failed: int
    seconds: float
    cpu: float
    p50: float
    p99: float
    last: list[Last]


class _Client(asyncio.Protocol):
    """One connection, closed loop."""

    def __init__(self, request: bytes, stop_at: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._stop_at = stop_at
        self._done = done
        self._parser = httptools.HttpResponseParser(self)
        self.latencies: list[float] = []
        self.failed = 0
        self.last = Last(b"")

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
        self.last = Last(b"")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 31 and name.lower() == b"inference-header-content-length":
            self.last.header_length = value.decode()

    def on_body(self, body: bytes) -> None:
        self.last.body += body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self.last.status = self._parser.get_status_code()
        if self.last.status == 200:
            self.latencies.append((now - self._sent) * 1e6)
        else:
            self.failed += 1
        if now < self._stop_at:
            self._send()
        elif not self._done.done():
            self._done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def run(order: Order) -> Tally:
    """Send the order's requests, and wait for the last answers."""
    headers = {"Host": "127.0.0.1", **order.headers, "Content-Length": str(len(order.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST {order.path} HTTP/1.1\r\n{head}\r\n".encode() + order.body
    loop = asyncio.get_running_loop()
    start, start_cpu = time.perf_counter(), time.process_time()
    clients, ends = [], []
    for _ in range(order.connections):
        done = loop.create_future()
        client = _Client(request, start + order.seconds, done)
        await loop.create_connection(partial(_same, client), "127.0.0.1", order.port)
        clients.append(client)
        ends.append(done)
    _, late = await asyncio.wait(ends, timeout=order.seconds + 30)
    latencies = sorted(each for client in clients for each in client.latencies)
    return Tally(
        answered=len(latencies),
        failed=sum(client.failed for client in clients) + len(late),
        seconds=time.perf_counter() - start,
        cpu=time.process_time() - start_cpu,
        p50=latencies[len(latencies) // 2] if latencies else 0.0,
        p99=latencies[int(len(latencies) * 0.99)] if latencies else 0.0,
        last=[client.last for client in clients],
    )


def _same(client: _Client) -> _Client:
    return client


def main() -> None:
    """Read an order from standard input, write the tally to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(order))))


if __name__ == "__main__":
    main()
