"""Every limit of a connection on a real server: the right status, then the end of it."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import psutil
import pytest

from modelyard_client import Client
from tests.e2e import graphs, processes
from tests.e2e.calls import LEAKS, Caller, serve
from tests.e2e.conftest import Server, start_server, stop_server

MIB = 1 << 20
MOST_GROWTH = 50 * MIB
MOST_CONNECTIONS = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("limits")
    started = start_server(
        folder / "home",
        "--workers",
        "1",
        MODELYARD_MAX_REQUEST_BYTES=str(MIB),
        MODELYARD_MAX_INFLIGHT_BYTES=str(8 * MIB),
        MODELYARD_MAX_CONNECTIONS=str(MOST_CONNECTIONS),
        MODELYARD_MAX_CONNECTIONS_PER_ADDRESS="30",
        MODELYARD_MAX_URL_BYTES="500",
        MODELYARD_MAX_HEADER_BYTES="4000",
        MODELYARD_MAX_HEADERS="20",
        MODELYARD_HEADER_SECONDS="1",
        MODELYARD_BODY_SECONDS="1",
        MODELYARD_MIN_BODY_RATE=str(MIB),
        MODELYARD_SEND_SECONDS="1",
        MODELYARD_IDLE_SECONDS="3",
    )
    try:
        with Client(started.url, started.admin_key) as client:
            serve(client, "numbers", graphs.scaled(folder / "scaled.onnx", 2))
            serve(client, "words", graphs.echoed(folder / "echoed.onnx"))
        yield started
    finally:
        assert stop_server(started.process) == 0
    assert "Traceback" not in (folder / "home.log").read_text()


@pytest.fixture(autouse=True)
def gateway(server: Server) -> Iterator[psutil.Process]:
    """The gateway; afterwards it is the same process, answers, and has given its memory back."""
    (process,) = processes.of_kind(server.process.pid, "gateway")
    before = process.memory_info().rss
    yield process
    processes.wait_until(lambda: _answers(server), 10, "the gateway answers")
    assert [process] == processes.of_kind(server.process.pid, "gateway")
    processes.wait_until(
        lambda: process.memory_info().rss <= before + MOST_GROWTH, 10, "memory is given back"
    )


def _answers(server: Server) -> bool:
    with Caller(server.url, server.admin_key) as call:
        return call.infer("numbers", x=[[1, 2]]).status == 200


def _connect(server: Server, source: str = "127.0.0.1") -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), 10, (source, 0))


def _head(server: Server, line: str, **headers: object) -> bytes:
    """A request's head with the key, and nothing that ends it."""
    lines = {"Host": "x", "Authorization": f"Bearer {server.admin_key}", **headers}
    text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"{line} HTTP/1.1\r\n{text}".encode()


def _said(client: socket.socket) -> bytes:
    """All that the server says until it closes."""
    said = b""
    with suppress(ConnectionResetError):
        while data := client.recv(65_536):
            said += data
    return said


INFER = "POST /v2/models/numbers/infer"
MANAGE = "POST /api/v1/keys"


@pytest.mark.parametrize("line", [INFER, MANAGE, "GET /livez"])
def test_heads_over_their_bounds(server: Server, line: str) -> None:
    method, path = line.split()
    target = _head(server, f"{method} {path}?{'x' * 600}") + b"\r\n"
    large = _head(server, line, X="x" * 5000) + b"\r\n"
    many = _head(server, line, **{f"X{number}": 1 for number in range(30)}) + b"\r\n"
    for raw, status in ((target, 414), (large, 431), (many, 431)):
        with _connect(server) as client:
            client.sendall(raw)
            said = _said(client)
        assert said.startswith(b"HTTP/1.1 %d " % status), (said, status)
        assert b"connection: close" in said


@pytest.mark.parametrize("line", [INFER, MANAGE])
def test_heads_and_bodies_that_do_not_come(server: Server, line: str) -> None:
    head = _head(server, line, Content_Length=100)
    for raw in (head[:30], head, head + b"\r\n", head + b"\r\n{"):
        with _connect(server) as client:
            began = time.monotonic()
            client.sendall(raw)
            said = _said(client)
            assert time.monotonic() - began < 8
        assert said.startswith(b"HTTP/1.1 408 "), (raw, said)


@pytest.mark.parametrize("line", [INFER, MANAGE])
def test_a_body_that_announces_itself_as_too_large(server: Server, line: str) -> None:
    with _connect(server) as client:
        client.sendall(_head(server, line, Content_Length=1 << 40) + b"\r\n")
        client.settimeout(5)
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_connections_of_one_address_and_in_all(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(_connect(server))
        one_more = stack.enter_context(_connect(server))
        assert _said(one_more).startswith(b"HTTP/1.1 429 ")
        for _ in range(MOST_CONNECTIONS - 30):
            stack.enter_context(_connect(server, "127.0.0.2"))
        one_more = stack.enter_context(_connect(server, "127.0.0.3"))
        said = _said(one_more)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in said


def test_bodies_for_which_there_is_no_room(server: Server, gateway: psutil.Process) -> None:
    before = gateway.memory_info().rss
    head = _head(server, "POST /v2/models/words/infer", Content_Length=MIB) + b"\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(_connect(server)) for _ in range(20)]
        for client in clients:
            with suppress(OSError):
                client.sendall(head + b" " * (MIB - 1))
        assert gateway.memory_info().rss < before + 20 * MIB
        statuses = sorted(_said(client)[9:12] for client in clients)
    # Those that were let in never send their last byte.
    assert statuses == [b"408"] * 8 + [b"503"] * 12


@pytest.mark.parametrize("first", ["GET /v2", "GET /livez"])
def test_a_client_that_does_not_read(server: Server, first: str) -> None:
    text = "x" * 200_000
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    body = json.dumps({"inputs": [tensor]}).encode()
    request = (
        _head(server, "POST /v2/models/words/infer", Content_Length=len(body)) + b"\r\n" + body
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        parts = urlsplit(server.url)
        client.connect((parts.hostname, parts.port))
        client.sendall(_head(server, first) + b"\r\n")
        # It goes on asking until it is cut off.
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            _send_without_end(client, request)


def _send_without_end(client: socket.socket, request: bytes) -> None:
    for _ in range(1000):
        client.sendall(request)


def test_mutants_of_good_requests(server: Server) -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2]}
    v2 = json.dumps({"inputs": [tensor], "parameters": {"timeout": 10_000_000}}).encode()
    v1 = json.dumps({"instances": [[1.5, 2]]}).encode()
    seeds = [
        _head(server, INFER, Content_Length=len(v2)) + b"\r\n" + v2,
        _head(server, "POST /v1/models/numbers:predict", Content_Length=len(v1)) + b"\r\n" + v1,
        _head(server, "GET /v2/models/numbers") + b"\r\n",
        _head(server, "GET /api/v1/models?limit=5") + b"\r\n",
        _head(server, "POST /api/v1/tenants", Content_Length=2) + b"\r\n{}",
    ]
    random_, told = random.Random(21), 0
    for _ in range(400):
        mutant = _mutated(random_, random_.choice(seeds))
        with _connect(server) as client:
            client.settimeout(0.3)
            said = b""
            with suppress(OSError):
                client.sendall(mutant)
                client.shutdown(socket.SHUT_WR)
                while data := client.recv(65_536):
                    said += data
        assert not LEAKS.search(said), (mutant, said)
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", said)
        told += bool(statuses)
        for status in statuses:
            assert status.startswith((b"1", b"2", b"4")), (mutant, said)
    assert told > 200


def _mutated(random_: random.Random, good: bytes) -> bytes:
    """The request with one to three things wrong with it."""
    mutant = bytearray(good)
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(mutant))
        to = min(len(mutant), at + random_.randint(1, 20))
        match random_.randrange(6):
            case 0:
                mutant[at] ^= 1 << random_.randrange(8)
            case 1:
                del mutant[at:to]
            case 2:
                mutant[at:at] = mutant[at:to] * random_.randint(1, 50)
            case 3:
                mutant[at:to] = random_.randbytes(to - at)
            case 4:
                odd = [b"\r\n", b"\0", b"[" * 500, b"9" * 400, b'"', b"-1", b"\xff", b"NaN", b": "]
                mutant[at:at] = random_.choice(odd)
            case _:
                del mutant[max(1, at) :]
    return bytes(mutant)
