"""A provider that does what it is told to, on a port of this machine, in a thread of its own.

It stands for what cannot be run here: somebody else's cloud. It speaks HTTP/1.1 by hand, so that
it can also do what no HTTP library does.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Self

KEY = "sk-canary-0123456789-of-a-provider"


class Received(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


Reaction = Callable[["Upstream", Received, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """Reacts to each request by the model that it names: `reactions[model]`."""

    def __init__(self, reactions: Mapping[str, Reaction]) -> None:
        self.reactions = dict(reactions)
        self.received: list[Received] = []
        self.readers: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        self.gone = threading.Event()
        """Set when a client has closed its connection before its answer was whole."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def asked(self, model: str) -> list[Received]:
        """The requests that named this model."""
        return [each for each in self.received if each.body and each.body.get("model") == model]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.readers[writer] = reader
        try:
            while (received := await _read(reader)) is not None:
                self.received.append(received)
                model = (received.body or {}).get("model", received.path)
                await self.reactions[model](self, received, writer)
        except ConnectionError:
            self.gone.set()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, json.loads(body) if body else None)


# What it can do


async def send(writer: asyncio.StreamWriter, status: int, body: bytes, headers: str = "") -> None:
    """A whole answer."""
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def begin(writer: asyncio.StreamWriter, kind: str = "text/event-stream") -> None:
    """The head of an answer that ends with its connection, in chunks."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()


async def part(writer: asyncio.StreamWriter, data: bytes) -> None:
    """One chunk of such an answer; empty for the last."""
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    await writer.drain()


def event(value: Any) -> bytes:
    """An event with this as its data."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(index: int = 0, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat."""
    choice = {"index": index, "delta": more, "finish_reason": reason}
    return {"id": "up-1", "object": "chat.completion.chunk", "model": "x", "choices": [choice]}


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 3},
    },
}


def says(*texts: str, usage: bool = True, reason: str = "stop") -> Reaction:
    """Streams these texts."""

    async def react(_: Upstream, received: Received, writer: asyncio.StreamWriter) -> None:
        assert received.body["stream"] is True
        await begin(writer)
        await part(writer, event(delta(role="assistant", content="")))
        for text in texts:
            await part(writer, event(delta(content=text)))
        await part(writer, event(delta(reason=reason)))
        if usage:
            assert received.body["stream_options"] == {"include_usage": True}
            await part(writer, event(USAGE))
        await part(writer, b"data: [DONE]\n\n")
        await part(writer, b"")

    return react


def sends(*chunks: bytes) -> Reaction:
    """Streams these bytes, whatever they are, and ends."""

    async def react(_: Upstream, __: Received, writer: asyncio.StreamWriter) -> None:
        await begin(writer)
        for chunk in chunks:
            await part(writer, chunk)
        await part(writer, b"")

    return react


def answers(status: int, body: Any = None, headers: str = "", times: int = 0) -> Reaction:
    """Answers with this; after so many times, as if nothing had been."""
    count = 0

    async def react(upstream: Upstream, received: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if times and count > times:
            await says("well", " again")(upstream, received, writer)
            return
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await send(writer, status, data, f"content-type: application/json\r\n{headers}")

    return react


async def hangs(_: Upstream, __: Received, ___: asyncio.StreamWriter) -> None:
    """Never says a word."""
    await asyncio.Event().wait()


async def babbles(upstream: Upstream, __: Received, writer: asyncio.StreamWriter) -> None:
    """Never stops."""
    await begin(writer)
    while True:
        await part(writer, event(delta(content="word " * 100)))
        await asyncio.sleep(0.001)


async def stalls(upstream: Upstream, __: Received, writer: asyncio.StreamWriter) -> None:
    """Says something, and then nothing more; notices when its client goes."""
    await begin(writer)
    await part(writer, event(delta(content="one")))
    await part(writer, event(delta(content="two")))
    await upstream.readers[writer].read()
    upstream.gone.set()


async def resets(_: Upstream, __: Received, writer: asyncio.StreamWriter) -> None:
    """Breaks the connection off in the middle."""
    await begin(writer)
    await part(writer, event(delta(content="half ")))
    await asyncio.sleep(0.05)
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.transport.abort()
