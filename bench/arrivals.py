"""Requests that arrive at a given rate, whatever becomes of them: what overload is made of.

A closed loop of clients slows down with its server; the world outside does not. Runs as a process
of its own, pinned to another core than the server.
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

CONNECTIONS = 600
"""Open before the first request is due: clients keep theirs."""


class Arrivals(msgspec.Struct):
    """What to send, how often a second, for how long; an answer is in time within `deadline`."""

    port: int
    path: str
    headers: dict[str, str]
    body: bytes
    rate: float
    seconds: float
    deadline: float


class Fate(msgspec.Struct):
    """What became of them. Latencies in milliseconds, from when a request was due.

    `good` were answered in time, `late` too late or not at all, `shed` refused with 429 or 503 and
    a Retry-After; `unsent` found no connection.
    """

    seconds: float
    sent: int = 0
    good: int = 0
    late: int = 0
    shed: int = 0
    failed: int = 0
    unsent: int = 0
    good_p50: float = 0.0
    good_p99: float = 0.0
    shed_p99: float = 0.0


class _Client(asyncio.Protocol):
    """A connection that has one request at a time."""

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._parser = httptools.HttpResponseParser(self)
        self._retry = False
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, due: float) -> None:
        self.due, self._retry = due, False
        self._transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.lost(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._retry = self._retry or name.lower() == b"retry-after"

    def on_message_complete(self) -> None:
        status, due, self.due = self._parser.get_status_code(), self.due, 0.0
        self._crowd.answered(status, due, retry=self._retry)
        self._crowd.free.append(self)


class _Crowd:
    """All connections, and what came back on them."""

    def __init__(self, order: Arrivals) -> None:
        headers = {"Host": "127.0.0.1", **order.headers, "Content-Length": str(len(order.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.request = f"POST {order.path} HTTP/1.1\r\n{head}\r\n".encode() + order.body
        self.free: list[_Client] = []
        self._order = order
        self._fate = Fate(order.seconds)
        self._good: list[float] = []
        self._shed: list[float] = []

    async def run(self) -> Fate:
        """Send them all, and wait for the last answers."""
        await self._connect()
        start, order, fate = time.perf_counter(), self._order, self._fate
        total = round(order.rate * order.seconds)
        for number in range(total):
            due = start + number / order.rate
            wait = due - time.perf_counter()
            if wait > 0 or not number % 64:
                await asyncio.sleep(max(wait, 0.0))
            self._send(due)
        await asyncio.sleep(order.deadline + 0.5)
        fate.late = fate.sent - len(self._good) - len(self._shed) - fate.failed
        fate.good, fate.shed = len(self._good), len(self._shed)
        fate.good_p50, fate.good_p99 = _part(self._good, 0.5), _part(self._good, 0.99)
        fate.shed_p99 = _part(self._shed, 0.99)
        return fate

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            client = _Client(self)
            await loop.create_connection(partial(_same, client), "127.0.0.1", self._order.port)
            self.free.append(client)

    def _send(self, due: float) -> None:
        if self.free:
            self.free.pop().send(due)
            self._fate.sent += 1
        else:
            self._fate.unsent += 1

    def answered(self, status: int, due: float, *, retry: bool) -> None:
        latency = time.perf_counter() - due
        if status == 200:
            if latency <= self._order.deadline:
                self._good.append(latency * 1000)
        elif status in (429, 503) and retry:
            self._shed.append(latency * 1000)
        elif status != 504:
            self._fate.failed += 1

    def lost(self, client: _Client) -> None:
        if client.due:
            self._fate.failed += 1
        elif client in self.free:
            self.free.remove(client)


def _same(client: _Client) -> _Client:
    return client


def _part(values: list[float], part: float) -> float:
    values.sort()
    return values[int(len(values) * part)] if values else 0.0


def main() -> None:
    """Read an order from standard input, write the fate to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Arrivals)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_Crowd(order).run())))


if __name__ == "__main__":
    main()
