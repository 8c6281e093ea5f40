"""From the data plane's connections to uvicorn's, and the end of both."""

import asyncio
import json

import pytest

from tests.dataplane import Gateway
from tests.integration.api.connection.wire import Server, count, head, pick, post, until, value

pytestmark = pytest.mark.asyncio
FOREIGN = head("GET /api/v1/models HTTP/1.1")
UPLOAD = post("/api/v1/models", b"x" * 5000)


async def test_a_foreign_connection(server: Server) -> None:
    wire = await server.connect()
    assert (await wire.ask(FOREIGN)).json()["path"] == "/api/v1/models"
    assert (await wire.ask(UPLOAD)).json()["size"] == 5000
    # Whatever is asked there, uvicorn answers, inference too.
    assert value(await wire.ask(pick(2))) == 30


@pytest.mark.parametrize("cut", [1, 4, 6, 10, 17, 30, 100])
async def test_a_foreign_request_in_parts(server: Server, cut: int) -> None:
    wire = await server.connect()
    assert (await wire.ask(UPLOAD[:cut], UPLOAD[cut:])).json()["size"] == 5000


async def test_after_inference(server: Server) -> None:
    wire = await server.connect()
    assert value(await wire.ask(pick(0))) == 10
    assert value(await wire.ask(count(100))) == 100
    assert (await wire.ask(UPLOAD[:12], UPLOAD[12:])).json()["size"] == 5000
    assert value(await wire.ask(count(100))) == 100


async def test_behind_a_request_that_is_being_answered(server: Server) -> None:
    wire = await server.connect()
    await wire.send(count(30_000), FOREIGN, UPLOAD[:50], UPLOAD[50:])
    assert value(await wire.receive()) == 30_000
    assert (await wire.receive()).json()["method"] == "GET"
    assert (await wire.receive()).json()["size"] == 5000


@pytest.mark.parametrize("first", [pick(1), count(2000)])
async def test_in_one_packet_with_inference_it_is_refused_in_turn(
    server: Server, gateway: Gateway, first: bytes
) -> None:
    wire = await server.connect()
    await wire.send(first + FOREIGN + pick(2))
    assert value(await wire.receive()) in (20, 2000)
    misdirected = await wire.receive()
    assert (misdirected.status, misdirected.headers["connection"]) == (421, "close")
    assert await wire.end() == b""
    assert len(gateway.events()) == 1


async def test_probes_and_what_is_no_http(server: Server) -> None:
    wire = await server.connect()
    assert (await wire.ask(head("GET /livez HTTP/1.1", {"authorization": None}))).status == 200
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"\r\nGET /livez HTTP/1.1\r\n\r\n", b"?\r\n\r\n"):
        wire = await server.connect()
        assert (await wire.ask(garbage)).status in (200, 400)


async def test_an_idle_connection_closes_at_once(server: Server) -> None:
    wire = await server.connect()
    await wire.ask(pick(1))
    server.shutdown()
    assert await wire.end() == b""


async def test_what_is_being_answered_is_answered(server: Server) -> None:
    wire = await server.connect()
    await wire.send(count(500_000))
    await asyncio.sleep(0.02)
    server.shutdown()
    response = await wire.receive()
    assert (value(response), response.headers["connection"]) == (500_000, "close")
    assert await wire.end() == b""


@pytest.mark.parametrize("cut", [3, 100, -2])
async def test_what_is_coming_in_is_answered(server: Server, cut: int) -> None:
    wire = await server.connect()
    request = pick(2)
    await wire.send(request[:cut])
    await asyncio.sleep(0.05)
    server.shutdown()
    response = await wire.ask(request[cut:])
    assert (value(response), response.headers["connection"]) == (30, "close")
    assert await wire.end() == b""


async def test_a_foreign_request_that_is_coming_in_is_answered(server: Server) -> None:
    wire = await server.connect()
    await wire.send(FOREIGN[:30])
    await asyncio.sleep(0.05)
    server.shutdown()
    assert json.loads((await wire.ask(FOREIGN[30:])).body)["method"] == "GET"
    assert await wire.end() == b""


async def test_no_connection_is_left(server: Server) -> None:
    wires = [await server.connect() for _ in range(20)]
    for n, wire in enumerate(wires):
        await wire.send(pick(n % 3) if n % 2 else FOREIGN)
        await wire.receive()
        wire.close()
    await until(lambda: not server.state.connections)
