"""What a gateway holds at a time is bounded, and whoever is over a bound is told so."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket

import pytest

from modelyard.api import capacity
from tests.integration.api.connection.wire import (
    FOREVER,
    Server,
    Wire,
    count,
    head,
    pick,
    post,
    until,
    value,
)

pytestmark = pytest.mark.asyncio

LARGE = 100_000


def floats(size: int) -> bytes:
    """A body of about so many bytes."""
    data = [1] * (size // 2)
    tensor = {"name": "x", "shape": [1, len(data)], "datatype": "UINT8", "data": data}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()


async def test_too_long_a_target(server: Server) -> None:
    wire = await server.connect()
    response = await wire.ask(post("/v2/models/" + "x" * 9000 + "/infer", b"{}"))
    assert (response.status, response.headers["connection"]) == (414, "close")
    # One that begins like no request of ours is no longer.
    wire = await server.connect()
    await wire.send(b"GET /" + b"x" * 20_000)
    await wire.send(b"x" * 20_000)
    assert (await wire.receive()).status == 431


async def test_too_many_connections(server: Server) -> None:
    server.limited(max_connections=2)
    inside = [await server.connect() for _ in range(2)]
    assert value(await inside[0].ask(pick(0))) == 10
    # One that was handed on counts as before.
    assert (await inside[1].ask(head("GET /livez HTTP/1.1"))).status == 200
    late = await server.connect()
    refused = await late.ask(pick(0))
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["connection"] == "close"
    assert await late.end() == b""
    late.close()
    for wire in inside:
        assert (
            await wire.ask(pick(1) if wire is inside[0] else head("GET /livez HTTP/1.1"))
        ).status == 200
        wire.close()
    await until(lambda: not len(server.capacity))
    again = await server.connect()
    assert value(await again.ask(pick(2))) == 30


async def test_too_many_connections_of_one_address(server: Server) -> None:
    server.limited(max_connections_per_address=1)
    first = await server.connect()
    assert value(await first.ask(pick(0))) == 10
    refused = await (await server.connect()).receive()
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    other = await server.connect(local_addr=("127.0.0.2", 0))
    assert value(await other.ask(pick(1))) == 20


async def test_a_flood_is_cut_off_without_a_word(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "REFUSED_AT_ONCE", 1)
    server.limited(max_connections=1, linger_seconds=60)
    inside = await server.connect()
    assert value(await inside.ask(pick(0))) == 10
    told = await server.connect()
    assert (await told.receive()).status == 503
    assert await (await server.connect()).end() in (b"", b"reset")
    assert value(await inside.ask(pick(1))) == 20


async def test_a_body_for_which_there_is_no_room(server: Server) -> None:
    server.limited(max_inflight=150_000)
    path = "/v2/models/echo-uint8/infer"
    half = post(path, floats(LARGE))
    first, second = await server.connect(), await server.connect()
    await first.send(half[: len(half) // 2])
    await until(lambda: server.capacity.left < LARGE)
    refused = await second.ask(half)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    # A small one passes, by both ways.
    third = await server.connect()
    assert value(await third.ask(pick(0))) == 10
    assert (await third.ask(head("GET /livez HTTP/1.1"))).status == 200
    assert value(await third.ask(pick(0))) == 10
    await first.send(half[len(half) // 2 :])
    assert (await first.receive()).status == 200
    await until(lambda: server.capacity.left == 150_000)
    assert (await first.ask(half)).status == 200


async def test_no_room_on_a_connection_that_was_handed_on(server: Server) -> None:
    server.limited(max_inflight=150_000)
    whole = post("/v2/models/echo-uint8/infer", floats(LARGE))
    holder, wire = await server.connect(), await server.connect()
    await wire.ask(head("GET /livez HTTP/1.1"))
    await holder.send(whole[: len(whole) // 2])
    await until(lambda: server.capacity.left < LARGE)
    assert (await wire.ask(whole)).status == 503


async def test_chunks_for_which_there_is_no_room(server: Server) -> None:
    server.limited(max_inflight=150_000)
    wire = await server.connect()
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    line = "POST /v2/models/echo-uint8/infer HTTP/1.1"
    await wire.send(head(line, {"transfer-encoding": "chunked"}), *[chunk] * 6)
    assert (await wire.receive()).status == 503


async def test_what_waits_counts_as_large_as_it_is_unpacked(server: Server) -> None:
    server.limited(max_inflight=300_000)
    path = "/v2/models/looping/infer"
    tensor = {"name": "times", "shape": [1], "datatype": "INT64", "data": [FOREVER]}
    body = json.dumps({"inputs": [tensor], "parameters": {"padding": "x" * 200_000}}).encode()
    packed = post(path, gzip.compress(body), {"content-encoding": "gzip"})
    assert len(packed) < 10_000
    first, second = await server.connect(), await server.connect()
    await first.send(packed)
    await until(lambda: server.capacity.left < 100_000)
    refused = await second.ask(packed)
    assert (refused.status, "retry-after" in refused.headers) == (503, True)
    first.abort()
    await until(lambda: server.capacity.left == 300_000)


@pytest.mark.parametrize("cut", [10, LARGE // 2, LARGE])
async def test_who_goes_gives_back_what_it_held(server: Server, cut: int) -> None:
    whole = post("/v2/models/echo-uint8/infer", floats(LARGE))
    wire = await server.connect()
    await wire.send(whole[:cut])
    wire.abort()


async def test_a_pipeline_of_many_bytes_is_held_back(server: Server) -> None:
    server.limited(max_ahead=100_000)
    wire = await server.connect()
    # Who is held back is not seen to go: the request ends by itself.
    await wire.send(count(FOREVER, **{"x-request-timeout-ms": 1000}))
    padded = post("/v2/models/echo-uint8/infer", floats(30_000))
    sending = asyncio.ensure_future(wire.send(*[padded] * 2000, pause=0))
    await until(lambda: server.limits.max_inflight - server.capacity.left >= 100_000)
    await asyncio.sleep(0.2)
    assert server.limits.max_inflight - server.capacity.left < 1_000_000
    sending.cancel()
    wire.abort()


async def test_a_body_that_announces_much_must_keep_its_rate(server: Server) -> None:
    server.limited(body_seconds=0.2, least_rate=1000)
    for announced in (1000, 1_000_000):
        wire = await server.connect()
        await wire.send(
            head("POST /v2/models/picker/infer HTTP/1.1", {"content-length": announced})
        )
        await wire.send(b" " * 100)
        began = asyncio.get_running_loop().time()
        assert (await wire.receive()).status == 408
        assert asyncio.get_running_loop().time() - began < 10


async def test_a_client_that_takes_nothing_of_a_page_is_cut_off(server: Server) -> None:
    server.limited(send_seconds=0.2)
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", server.port))
    wire = Wire(*await asyncio.open_connection(sock=plug, limit=1024))
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    wire.writer.write(head("GET /livez HTTP/1.1"))
    for _ in range(60):
        wire.writer.write(post("/v2/models/echo-uint8/infer", floats(LARGE)))
    await until(lambda: len(server.capacity) == 1)
    await until(lambda: not len(server.capacity))
    wire.abort()
