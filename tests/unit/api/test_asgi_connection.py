from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from modelyard.api.asgi_connection import MAX_HEAD, AsgiConnection

pytestmark = pytest.mark.asyncio

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hurried(AsgiConnection):
    head_seconds = 0.2


async def echo(_: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await asyncio.sleep(0.05)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected(kind: type[AsgiConnection] = AsgiConnection) -> AsyncIterator[Streams]:
    config = uvicorn.Config(echo, http=kind, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(
        *server.sockets[0].getsockname()[:2], limit=1 << 22
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    for begun in (b"", b"POST / HT", REQUEST[:30]):
        async with connected(Hurried) as (reader, writer):
            writer.write(begun)
            assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_an_idle_connection_is_no_head() -> None:
    async with connected(Hurried) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            assert await asyncio.wait_for(reader.readuntil(b"ok"), 5)
            await asyncio.sleep(0.5)


async def test_a_head_at_its_bound_passes_and_one_beyond_is_refused() -> None:
    for size, status in ((MAX_HEAD - 500, b"200"), (MAX_HEAD + 1, b"400")):
        async with connected() as (reader, writer):
            long = b"Host: x\r\nLong: " + b"x" * size + b"\r\n"
            writer.write(REQUEST.replace(b"Host: x\r\n", long))
            assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == status


async def test_a_head_without_end_is_refused() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 8192)
        await asyncio.sleep(0.05)
        writer.write(b"x" * MAX_HEAD)
        assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"400"


async def test_a_large_body_before_the_next_request_is_no_head() -> None:
    body = b"x" * (3 * MAX_HEAD)
    large = REQUEST.replace(b": 2\r\n\r\nok", b": %d\r\n\r\n%b" % (len(body), body))
    async with connected() as (reader, writer):
        # The second request is cut in its head, in the same piece as the first one's end.
        writer.write(large + REQUEST[:20])
        await asyncio.sleep(0.2)
        writer.write(REQUEST[20:])
        said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 5)
        assert said.count(b"HTTP/1.1 200 ") == 2


async def test_who_has_said_all_gets_an_answer_and_the_end() -> None:
    async with connected() as (reader, writer):
        writer.write(REQUEST)
        writer.write_eof()
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\nok")


async def test_who_stops_halfway_gets_the_end() -> None:
    async with connected() as (reader, writer):
        writer.write(REQUEST[:-1])
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
