"""HTTP/1.1 as RFC 9112 has it, over real sockets."""

import asyncio
import itertools
import socket
import struct

import numpy as np
import pytest

from tests.dataplane import LIMIT, Gateway
from tests.integration.api.connection.wire import (
    FOREVER,
    KEY,
    Server,
    count,
    head,
    pick,
    post,
    until,
    value,
)

pytestmark = pytest.mark.asyncio
GOOD = pick(1)


async def test_keep_alive_and_close(server: Server) -> None:
    wire = await server.connect()
    for row in (0, 1, 2):
        response = await wire.ask(pick(row))
        assert value(response) == 10 * (row + 1)
        assert "connection" not in response.headers
    last = await wire.ask(pick(0, connection="close"))
    assert (value(last), last.headers["connection"]) == (10, "close")
    assert await wire.end() == b""


async def test_http_1_0_closes_unless_told_otherwise(server: Server) -> None:
    one = GOOD.replace(b"HTTP/1.1", b"HTTP/1.0")
    wire = await server.connect()
    response = await wire.ask(pick(1, connection="keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (value(response), response.headers["connection"]) == (20, "keep-alive")
    response = await wire.ask(one)
    assert (value(response), response.headers["connection"]) == (20, "close")
    assert await wire.end() == b""


@pytest.mark.parametrize("size", [1, 2, 7, 40, 100])
async def test_requests_in_parts_of_any_size(server: Server, size: int) -> None:
    wire = await server.connect()
    data = GOOD + pick(2)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    await wire.send(*parts, pause=0)
    assert value(await wire.receive()) == 20
    assert value(await wire.receive()) == 30


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    wire = await server.connect()
    await wire.send(b"".join([pick(0), count(2000), pick(1), count(0), count(3000), pick(2)]))
    answers = [value(await wire.receive()) for _ in range(6)]
    assert answers == [10, 2000, 20, 0, 3000, 30]


async def test_a_long_pipeline_is_answered_to_its_end(server: Server) -> None:
    wire = await server.connect()
    wire.writer.write(b"".join(pick(n % 3) for n in range(3000)))
    answers = [value(await wire.receive()) for _ in range(3000)]
    assert answers == [10 * (n % 3 + 1) for n in range(3000)]


async def test_a_pipeline_behind_a_dear_request_is_held_back(
    server: Server, gateway: Gateway
) -> None:
    server.limited(max_pipeline=4)
    wire = await server.connect()
    await wire.send(count(FOREVER, **{"x-request-timeout-ms": "200"}))
    wire.writer.write(b"".join(pick(n % 3) for n in range(5000)))
    assert (await wire.receive()).status == 504
    assert [value(await wire.receive()) for _ in range(5000)] == [
        10 * (n % 3 + 1) for n in range(5000)
    ]


async def test_chunked_bodies(server: Server) -> None:
    start, body = GOOD.split(b"\r\n\r\n")
    start = start.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    chunks = b"".join(b"1;ext=1\r\n%b\r\n" % body[at : at + 1] for at in range(len(body)))
    wire = await server.connect()
    whole = start + b"\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert value(await wire.ask(whole)) == 20
    assert value(await wire.ask(whole[:300], whole[300:])) == 20
    assert value(await wire.ask(GOOD)) == 20


async def test_trailers_are_no_headers(server: Server) -> None:
    start, body = GOOD.split(b"\r\n\r\n")
    start = start.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    data = b"%b\r\n\r\n%x\r\n%b\r\n0\r\ninference-header-content-length: 2\r\n\r\n"
    wire = await server.connect()
    assert value(await wire.ask(data % (start, len(body), body))) == 20


async def test_expect_100_continue(server: Server) -> None:
    start, body = pick(2, expect="100-continue").split(b"\r\n\r\n")
    wire = await server.connect()
    assert (await wire.ask(start + b"\r\n\r\n")).status == 100
    assert value(await wire.ask(body)) == 30
    # Not before the answer that it stands behind.
    await wire.send(count(3000) + start + b"\r\n\r\n")
    assert value(await wire.receive()) == 3000
    assert (await wire.receive()).status == 100
    assert value(await wire.ask(body)) == 30


async def test_expect_is_refused_rather_than_continued(server: Server) -> None:
    big = {"content-length": LIMIT + 1, "expect": "100-continue"}
    wire = await server.connect()
    assert (await wire.ask(head("POST /v2/models/picker/infer HTTP/1.1", big))).status == 413
    wire = await server.connect()
    old = pick(2, expect="100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert value(await wire.ask(old)) == 30


async def test_an_offer_to_upgrade_is_passed_over(server: Server) -> None:
    # As the HTTP client of Java offers HTTP/2 with its first request.
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMA"}
    wire = await server.connect()
    assert value(await wire.ask(pick(2, **offer) + pick(1))) == 30
    assert value(await wire.receive()) == 20
    ready = head("GET /v2/health/ready HTTP/1.1", offer)
    assert (await wire.ask(ready + ready)).json() == {"ready": True}
    assert (await wire.receive()).json() == {"ready": True}
    assert value(await wire.ask(count(2000, **offer))) == 2000
    request = pick(1, **offer)
    for cut in (60, -30, -3):
        assert value(await wire.ask(request[:cut], request[cut:])) == 20


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("POST /v2/models/" + "x" * 40_000 + " HTTP/1.1"), 414),
        (head("POST /v2/models/a/infer HTTP/1.1", {"a": "b" * 40_000}), 431),
        (head("POST /v2/models/a/infer HTTP/1.1", {f"a{n}": n for n in range(101)}), 431),
        (b"POST /v2/models/a/infer HTTP/1.1\r\na: " + b"b" * 400_000, 431),
        (b"GET /api/" + b"x" * 400_000, 431),
        (head("POST /v2/models/a/infer HTTP/1.1", {"content-length": LIMIT + 1}), 413),
        (head("POST /v2/models/a/infer HTTP/1.1", {"content-length": "1" * 30}), 400),
        (head("POST /v2/models/a/infer HTTP/1.1", {"content-length": "-1"}), 400),
        (head("POST /v2/models/a/infer HTTP/1.1", {"a": "b\x00"}), 400),
        (head("POST /v2/models/a/infer HTTP/1.1", {"transfer-encoding": "gzip"}), 400),
        (
            head(
                "POST /v2/models/a/infer HTTP/1.1",
                {"content-length": 3, "transfer-encoding": "chunked"},
            ),
            400,
        ),
        (b"POST /v2/models/a/infer HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        (b"POST /v2/models/a/infer\x00 HTTP/1.1\r\n\r\n", 400),
    ],
    ids=range(13),
)
async def test_what_is_no_good_request_is_refused_and_closed(
    server: Server, data: bytes, status: int
) -> None:
    wire = await server.connect()
    wire.writer.write(data)
    response = await wire.receive()
    assert (response.status, response.headers["connection"]) == (status, "close")
    assert list(response.json()) == ["error"]
    assert await wire.end() == b""


async def test_a_refusal_arrives_though_the_body_is_on_its_way(server: Server) -> None:
    for _ in range(20):
        wire = await server.connect()
        wire.writer.write(
            head("POST /v2/models/a/infer HTTP/1.1", {"content-length": 8 * LIMIT}) + b"x" * LIMIT
        )
        assert (await wire.receive()).status == 413
        wire.writer.write(b"x" * LIMIT)
        assert await wire.end() == b""
        wire.close()


@pytest.mark.parametrize("extra", [{"authorization": "Bearer my_nobody"}, {"authorization": None}])
@pytest.mark.parametrize("length", [{"content-length": LIMIT}, {"transfer-encoding": "chunked"}])
async def test_a_large_body_is_not_read_without_a_good_key(
    server: Server, extra: dict[str, str], length: dict[str, str]
) -> None:
    wire = await server.connect()
    response = await wire.ask(head("POST /v2/models/a/infer HTTP/1.1", {**extra, **length}))
    assert response.status == 401
    assert await wire.end() == b""


async def test_chunks_of_too_much_body_or_too_much_around_it(server: Server) -> None:
    chunked = head("POST /v2/models/picker/infer HTTP/1.1", {"transfer-encoding": "chunked"})
    wire = await server.connect()
    wire.writer.write(chunked + b"10000\r\n%b\r\n" % (b"x" * 65536) * 20)
    assert (await wire.receive()).status == 413
    for noise in (b"0\r\na: " + b"b" * 900_000, b"1;a=" + b"b" * 900_000):
        wire = await server.connect()
        wire.writer.write(chunked + b"1\r\nx\r\n" + noise)
        assert (await wire.receive()).status in (400, 431)


async def test_garbage_behind_a_request_does_not_take_its_answer(server: Server) -> None:
    wire = await server.connect()
    await wire.send(count(3000) + pick(1) + b"POST /v2/models/ nonsense\r\n\r\n")
    assert value(await wire.receive()) == 3000
    assert value(await wire.receive()) == 20
    assert (await wire.receive()).status == 400
    assert await wire.end() == b""


async def test_what_follows_a_last_request_is_not_heard(server: Server) -> None:
    wire = await server.connect()
    await wire.send(count(2000, connection="close") + pick(1), pick(2))
    assert value(await wire.receive()) == 2000
    assert await wire.end() in (b"", b"reset")


# Time


async def test_heads_and_bodies_must_come_in_time(server: Server) -> None:
    server.limited(head_seconds=0.05, body_seconds=0.05, idle_seconds=0.05)
    for data in (
        b"POST /v2/models/picker/infer HTTP/1.1\r\na: b",
        b"POST /v2/mod",
        b"GET /api/v1/models HTTP/1.1\r\n",
        GOOD[:-3],
        GOOD + pick(1)[:-3],
        GOOD + b"GET /api",
    ):
        wire = await server.connect()
        await wire.send(data)
        response = await wire.receive()
        if response.status == 200:
            response = await wire.receive()
        assert (response.status, response.headers["connection"]) == (408, "close")
        assert await wire.end() == b""


async def test_a_head_that_drips_gets_no_more_time(server: Server) -> None:
    server.limited(head_seconds=0.1)
    wire = await server.connect()
    wire.writer.write(b"POST /v2/models/picker/infer HTTP/1.1\r\n")
    for n in range(1000):
        wire.writer.write(b"a%d: b\r\n" % n)
        await asyncio.sleep(0.01)
        if wire.reader.at_eof() or wire.reader._buffer:  # type: ignore[attr-defined]
            break
    assert (await wire.receive()).status == 408


async def test_idle_connections_are_closed_without_a_word(server: Server) -> None:
    server.limited(head_seconds=0.05, idle_seconds=0.05)
    assert await (await server.connect()).end() == b""
    wire = await server.connect()
    assert value(await wire.ask(GOOD)) == 20
    assert await wire.end() == b""


async def test_a_model_may_take_longer_than_a_client(server: Server) -> None:
    server.limited(head_seconds=0.02, body_seconds=0.02, idle_seconds=0.02)
    wire = await server.connect()
    answer = await wire.ask(count(FOREVER, **{"x-request-timeout-ms": "300"}))
    assert answer.status == 504


# Clients that go


@pytest.mark.parametrize("how", ["close", "abort", "half"])
async def test_a_client_that_goes_stops_its_request(
    server: Server, gateway: Gateway, how: str
) -> None:
    wire = await server.connect()
    await wire.send(count(FOREVER))
    await asyncio.sleep(0.1)
    if how == "half":
        wire.writer.write_eof()
    else:
        getattr(wire, how)()
    await until(gateway.events)
    (event,) = gateway.events()
    assert (event.status, event.rows, event.bytes_out) == (499, 0, 0)
    # The model is free again.
    assert value(await (await server.connect()).ask(count(5))) == 5


async def test_one_whose_connection_was_handed_on_stops_its_request_too(
    server: Server, gateway: Gateway
) -> None:
    wire = await server.connect()
    assert (await wire.ask(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200
    await wire.send(count(FOREVER))
    await asyncio.sleep(0.1)
    # There a client that only closes its side is still answered; this one resets the connection.
    at_once = struct.pack("ii", 1, 0)
    wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    wire.abort()
    await until(gateway.events)
    (event,) = gateway.events()
    assert (event.status, event.rows, event.bytes_out) == (499, 0, 0)


async def test_a_client_that_goes_leaves_its_pipeline_unrun(
    server: Server, gateway: Gateway
) -> None:
    wire = await server.connect()
    await wire.send(count(FOREVER) + pick(0) + pick(1))
    await asyncio.sleep(0.1)
    wire.abort()
    await until(gateway.events)
    await asyncio.sleep(0.05)
    assert [event.status for event in gateway.events()] == [499]


async def test_a_client_that_does_not_read_is_held_back_and_dropped(
    server: Server, gateway: Gateway
) -> None:
    server.limited(send_seconds=0.3)
    body = b'{"inputs":[{"name":"x","shape":[1,60000],"datatype":"UINT8","data":[%b]}]}'
    request = post("/v2/models/echo-uint8/infer", body % b",".join([b"7"] * 60_000))
    wire = await server.connect(limit=1)
    wire.writer.write(request * 200)
    await until(lambda: not server.state.connections)
    assert 0 < len(gateway.events()) < 200


# Large bodies


@pytest.mark.parametrize("cut", [1, 200, 70_000, 200_000])
async def test_large_bodies_come_whole_and_leave_the_next_request_alone(
    server: Server, cut: int
) -> None:
    numbers = np.arange(60_000, dtype=np.float32).reshape(60, 1000)
    text = (
        b'{"inputs":[{"name":"x","shape":[60,1000],"datatype":"FP32",'
        b'"parameters":{"binary_data_size":240000}}],"parameters":{"binary_data_output":true}}'
    )
    data = post(
        "/v2/models/echo-fp32/infer",
        text + numbers.tobytes(),
        {"inference-header-content-length": len(text)},
    )
    wire = await server.connect()
    for _ in range(3):
        await wire.send(data[:cut], data[cut:] + GOOD + data, GOOD)
        for _ in range(2):
            response = await wire.receive()
            assert response.status == 200, response.body
            start = int(response.headers["inference-header-content-length"])
            assert response.body[start:] == numbers.tobytes()
            assert value(await wire.receive()) == 20


async def test_a_large_body_that_stops_coming(server: Server) -> None:
    server.limited(body_seconds=0.1, least_rate=1 << 30)
    start = head("POST /v2/models/picker/infer HTTP/1.1", {"content-length": LIMIT})
    wire = await server.connect()
    await wire.send(start + b"x" * 1000)
    assert (await wire.receive()).status == 408
    assert await wire.end() == b""
    wire = await server.connect()
    await wire.send(start + b"x" * 1000)
    await asyncio.sleep(0.02)
    wire.abort()
    assert value(await (await server.connect()).ask(GOOD)) == 20


async def test_a_head_that_is_known_is_answered_like_a_new_one(server: Server) -> None:
    first = await server.connect()
    second = await server.connect()
    for row in (0, 1, 2, 0):
        for wire in (first, second):
            assert value(await wire.ask(pick(row))) == 10 * (row + 1)
            assert value(await wire.ask(pick(row, connection="keep-alive"))) == 10 * (row + 1)
    await first.send(pick(0) + pick(1), pick(2) + pick(0))
    assert [value(await first.receive()) for _ in range(4)] == [10, 20, 30, 10]
    assert (await first.ask(pick(0, authorization="Bearer my_other"))).status == 401
    assert (await first.ask(pick(0, authorization="Bearer my_other"))).status == 401


async def test_a_known_head_of_a_key_that_was_revoked_is_refused(server: Server) -> None:
    wire = await server.connect()
    assert value(await wire.ask(GOOD)) == 20
    server.gateway.revoke(KEY)
    server.gateway.publish()
    assert (await wire.ask(GOOD)).status == 401


async def test_every_request_that_asks_for_it_is_the_last(server: Server) -> None:
    for _ in range(3):
        wire = await server.connect()
        assert value(await wire.ask(pick(1, connection="close"))) == 20
        assert await wire.end() == b""


async def test_a_body_that_comes_before_it_is_asked_for_is_not_asked_for(server: Server) -> None:
    wire = await server.connect()
    await wire.send(count(3000), pick(1, expect="100-continue"))
    assert value(await wire.receive()) == 3000
    assert value(await wire.receive()) == 20
    assert value(await wire.ask(GOOD)) == 20


async def test_known_heads_with_bodies_in_parts(server: Server) -> None:
    wire = await server.connect()
    data = GOOD + pick(2) + pick(0)
    end = GOOD.index(b"\r\n\r\n") + 4
    assert value(await wire.ask(GOOD)) == 20
    # The head alone; with a part of the body; the rest of the body with the next request.
    for cuts in ((end,), (end + 9,), (end, end + 9), (end, len(GOOD) + 9), (end, len(GOOD) + end)):
        edges = (0, *cuts, len(data))
        await wire.send(*(data[a:b] for a, b in itertools.pairwise(edges)))
        assert [value(await wire.receive()) for _ in range(3)] == [20, 30, 10]
