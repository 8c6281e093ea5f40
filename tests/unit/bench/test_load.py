"""The generator counts what it is answered, and nothing else."""

import asyncio

import pytest

from bench.load import Order, run

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nInference-Header-Content-Length: 2\r\n\r\n{}\0\1"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"


async def _loaded(answer: bytes, *, answers: int) -> tuple[list[bytes], int, int]:
    """What arrived at a server that gives so many answers a connection and then hangs up."""
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answers):
            head = await reader.readuntil(b"\r\n\r\n")
            arrived.append(head + await reader.readexactly(3))
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        tally = await run(Order(port, "/infer", {"X-Key": "k"}, b"abc", 2, 30.0))
    assert answer != GOOD or {last.header_length for last in tally.last} == {"2"}
    assert answer != GOOD or {last.body for last in tally.last} == {b"{}\0\1"}
    return arrived, tally.answered, tally.failed


@pytest.mark.asyncio
async def test_good_answers_count_and_a_lost_connection_is_a_failure() -> None:
    arrived, answered, failed = await _loaded(GOOD, answers=5)

    assert answered == len(arrived) == 10
    assert failed == 2
    assert set(arrived) == {
        b"POST /infer HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Key: k\r\nContent-Length: 3\r\n\r\nabc"
    }


@pytest.mark.asyncio
async def test_a_refusal_is_no_answer() -> None:
    _, answered, failed = await _loaded(BUSY, answers=3)

    assert answered == 0
    assert failed == 2 * 3 + 2
