from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from modelyard.api.asgi_connection import AsgiConnection
from modelyard.api.capacity import Capacity
from modelyard.api.limits import ConnectionLimits

pytestmark = pytest.mark.asyncio

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
LIMIT = 1 << 20
MAX_HEAD = ConnectionLimits(LIMIT).max_head
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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


async def status(reader: asyncio.StreamReader) -> int:
    return int((await asyncio.wait_for(reader.readline(), 5)).split()[1])


@asynccontextmanager
async def connected(**limits: Any) -> AsyncIterator[Streams]:
    config = uvicorn.Config(echo, ws="none", lifespan="off", log_config=None)
    config.load()
    state, wanted = ServerState(), ConnectionLimits(LIMIT, look_seconds=0.01, **limits)
    capacity = Capacity(wanted)

    def make() -> AsgiConnection:
        seat = capacity.enter("somewhere")
        return AsgiConnection(wanted, seat, config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(
        *server.sockets[0].getsockname()[:2], limit=1 << 22
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()
        async with asyncio.timeout(5):
            while len(capacity):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    for begun in (b"", b"POST / HT", REQUEST[:30]):
        async with connected(head_seconds=0.2) as (reader, writer):
            writer.write(begun)
            assert await status(reader) == 408
            assert b"did not come in time" in await asyncio.wait_for(reader.read(), 5)


async def test_an_idle_connection_is_no_head() -> None:
    async with connected(head_seconds=0.2, body_seconds=0.2) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            assert await asyncio.wait_for(reader.readuntil(b"ok"), 5)
            await asyncio.sleep(0.5)


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with connected(body_seconds=0.2) as (reader, writer):
        writer.write(REQUEST[:-1])
        assert await status(reader) == 408


async def test_a_body_that_drips_must_keep_its_rate() -> None:
    announced = REQUEST.replace(b": 2\r\n\r\nok", b": 1000000\r\n\r\n")
    async with connected(body_seconds=0.2, least_rate=1000) as (reader, writer):
        writer.write(announced)
        answer = asyncio.ensure_future(status(reader))
        began = asyncio.get_running_loop().time()
        while not answer.done():
            # A hundred bytes earn a tenth of a second, in which only fifty come.
            writer.write(b"x" * 5)
            await asyncio.sleep(0.01)
        assert answer.result() == 408
        assert asyncio.get_running_loop().time() - began > 0.2


async def test_a_head_at_its_bound_passes_and_one_beyond_is_refused() -> None:
    for size, expected in ((MAX_HEAD - 500, 200), (MAX_HEAD + 1, 431)):
        async with connected() as (reader, writer):
            long = b"Host: x\r\nLong: " + b"x" * size + b"\r\n"
            writer.write(REQUEST.replace(b"Host: x\r\n", long))
            assert await status(reader) == expected


async def test_too_many_headers_and_too_long_a_target_are_refused() -> None:
    many = b"".join(b"X%d: 1\r\n" % number for number in range(200))
    for request, expected in (
        (REQUEST.replace(b"Host: x\r\n", many), 431),
        (REQUEST.replace(b"POST /", b"POST /" + b"x" * 9000), 414),
    ):
        async with connected() as (reader, writer):
            writer.write(request)
            assert await status(reader) == expected
            assert b"Traceback" not in await asyncio.wait_for(reader.read(), 5)


async def test_a_head_without_end_is_refused() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 8192)
        await asyncio.sleep(0.05)
        writer.write(b"x" * (MAX_HEAD + 1))
        assert await status(reader) == 431


async def test_a_client_that_does_not_take_its_answer_is_cut_off() -> None:
    body = b"x" * (8 << 20)
    large = REQUEST.replace(b": 2\r\n\r\nok", b": %d\r\n\r\n%b" % (len(body), body))
    async with connected(send_seconds=0.2) as (reader, writer):
        writer.write(large)
        assert await status(reader) == 200
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(len(body)), 5)


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
