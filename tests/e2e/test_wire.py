"""What strangers send, over real sockets: every answer is a clear refusal, and the server lives."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from modelyard_client import Client
from tests.e2e import graphs, processes
from tests.e2e.calls import LEAKS, Answer, Caller, serve
from tests.e2e.conftest import Server, start_server, stop_server

MOST = 1 << 20
MOST_GROWTH = 50 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One gateway, so that each test looks at the process that it has hit."""
    folder = tmp_path_factory.mktemp("wire")
    started = start_server(
        folder / "home",
        "--workers",
        "1",
        MODELYARD_MAX_REQUEST_BYTES=str(MOST),
        MODELYARD_MAX_UPLOAD_BYTES=str(MOST),
    )
    try:
        with Client(started.url, started.admin_key) as client:
            serve(client, "numbers", graphs.scaled(folder / "scaled.onnx", 2))
            serve(client, "words", graphs.echoed(folder / "echoed.onnx"))
            serve(client, "mixed", graphs.mixed(folder / "mixed.onnx"))
        yield started
    finally:
        assert stop_server(started.process) == 0
    assert "Traceback" not in (folder / "home.log").read_text()


@pytest.fixture
def call(server: Server) -> Iterator[Caller]:
    with Caller(server.url, server.admin_key) as call:
        yield call


@pytest.fixture(autouse=True)
def gateway(server: Server) -> Iterator[psutil.Process]:
    """The gateway; it is the same process afterwards, answers, and has given its memory back."""
    (process,) = processes.of_kind(server.process.pid, "gateway")
    before = process.memory_info().rss
    yield process
    with Caller(server.url, server.admin_key) as call:
        assert call.infer("numbers", x=[[1, 2]]).json()["outputs"][0]["data"] == [2, 4]
    assert [process] == processes.of_kind(server.process.pid, "gateway")
    end = time.monotonic() + 5
    while process.memory_info().rss > before + MOST_GROWTH and time.monotonic() < end:
        time.sleep(0.1)
    assert process.memory_info().rss <= before + MOST_GROWTH


def _tensor(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    return {"inputs": [{**tensor, **changes}]}


V2_BODIES: list[Any] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"\xff\xfe",
    b'{"inputs":[]}' * 2,
    b"{}",
    b"[" * 100_000,
    b'{"inputs":' + b"[" * 50_000,
    b'{"a":' * 50_000,
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":' + b"[" * 5000 + b"]" * 5000,
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[NaN,1]}]}',
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[Infinity,1]}]}',
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1e999,1]}]}',
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[' + b"9" * 5000 + b",1]}]}",
    b'{"inputs":[{"name":"\\ud800","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
    {"inputs": []},
    {"inputs": "x"},
    {"inputs": [1]},
    {"inputs": _tensor()["inputs"] * 2},
    {"inputs": _tensor()["inputs"], "outputs": [{"name": "nothing"}]},
    {"inputs": _tensor()["inputs"], "outputs": 1},
    {"inputs": _tensor()["inputs"], "id": 5},
    {"inputs": _tensor()["inputs"], "parameters": {"binary_data_output": 5}, "outputs": "y"},
    _tensor(name="unknown"),
    _tensor(name=""),
    _tensor(name="x" * 100_000),
    _tensor(name=None),
    _tensor(shape=[2]),
    _tensor(shape=[]),
    _tensor(shape=[-1, 2]),
    _tensor(shape=[0, 2]),
    _tensor(shape=[1, 2, 1]),
    _tensor(shape=[1 << 62, 1 << 62]),
    _tensor(shape=[1.5, 2]),
    _tensor(shape="12"),
    _tensor(shape=[1] * 10_000),
    _tensor(shape=[2, 1]),
    _tensor(datatype="FP64"),
    _tensor(datatype="INT8"),
    _tensor(datatype="BYTES"),
    _tensor(datatype="FP16"),
    _tensor(datatype="float"),
    _tensor(datatype=3),
    _tensor(data=[1]),
    _tensor(data=[1, 2, 3]),
    _tensor(data=["a", "b"]),
    _tensor(data=[True, False]),
    _tensor(data=[None, 1]),
    _tensor(data=[[1], [2]]),
    _tensor(data=[[1, [2]]]),
    _tensor(data={"0": 1}),
    _tensor(data="12"),
    _tensor(data=None),
    _tensor(data=[1e39, 1]),
    _tensor(data=[10**400, 1]),
    _tensor(parameters={"binary_data_size": 8}, data=[]),
    _tensor(parameters="x"),
]

V1_BODIES: list[Any] = [
    b"",
    b"{",
    b"[" * 100_000,
    {},
    {"instances": []},
    {"instances": {}},
    {"instances": [1]},
    {"instances": [[1]]},
    {"instances": [[1, 2], [1]]},
    {"instances": [[1, 2], {"x": [1, 2]}]},
    {"instances": [{"y": 1}]},
    {"instances": [{}]},
    {"instances": [None]},
    {"instances": [["a", "b"]]},
    {"instances": [[[1, 2]]]},
    {"instances": [[1e39, 1]]},
    {"instances": [[10**400, 1]]},
    {"instances": [{"x": [1, 2], "z": 1}]},
]


def test_bodies_that_are_no_inference_are_refused(call: Caller) -> None:
    for path, bodies in (
        ("/v2/models/numbers/infer", V2_BODIES),
        ("/v1/models/numbers:predict", V1_BODIES),
    ):
        for body in bodies:
            answer = call("POST", path, body)
            assert answer.status == 400, (body if len(str(body)) < 500 else len(body), answer)
            _check_error(answer)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(call: Caller) -> None:
    answer = call("POST", "/v2/models/numbers/infer", b" " * (MOST + 1))
    assert answer.status == 413
    _check_error(answer)
    answer = call("PUT", f"/api/v1/uploads/{'0' * 64}", b" " * (MOST + 1))
    assert answer.status == 413
    body = b'"' + b"x" * (MOST + 1) + b'"'
    answer = call("POST", "/api/v1/keys", body, headers={"content-type": "application/json"})
    assert answer.status == 413
    # One that is only announced is refused at once, too.
    answer = call("POST", "/v2/models/numbers/infer", headers={"content-length": "99999999999999"})
    assert answer.status == 413


def test_management_bodies_are_refused(call: Caller) -> None:
    headers = {"content-type": "application/json"}
    bodies = [b"", b"{", b"[" * 100_000, b"null", b"[]", b"1", b'{"name":1}', b"\xff", b'{"a":NaN}']
    routes = [
        ("POST", "/api/v1/keys"),
        ("POST", "/api/v1/datasets"),
        ("POST", "/api/v1/jobs"),
        ("POST", "/api/v1/prices"),
        ("POST", "/api/v1/models/numbers/versions"),
        ("PUT", "/api/v1/models/numbers/aliases/x"),
        ("PUT", "/api/v1/deployments/x"),
        ("PUT", "/api/v1/uploads/zz"),
    ]
    for method, path in routes:
        for body in bodies:
            answer = call(method, path, body, headers=headers)
            assert 400 <= answer.status < 500, (method, path, body[:50], answer)
            assert answer.headers["content-type"].startswith("application/problem+json")
            _check_error(answer)
    for query in (
        "limit=0",
        "limit=x",
        "limit=99999999999999999999",
        "cursor=%ff",
        "cursor=x" * 99,
    ):
        answer = call("GET", f"/api/v1/models?{query}")
        assert 400 <= answer.status < 500, query
    for name in ("%00", "%2e%2e", "a" * 5000, "%ff%fe", "..%2f..%2fetc%2fpasswd", "%F0%9F%92%A9"):
        for noun in ("models", "deployments", "datasets", "jobs"):
            answer = call("GET", f"/api/v1/{noun}/{name}")
            assert 400 <= answer.status < 500, (noun, name, answer)
            _check_error(answer)


RAW = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bad version": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "space in target": b"GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n",
    "no colon": b"GET /v2 HTTP/1.1\r\nHost x\r\n\r\n",
    "NUL in header": b"GET /v2 HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    "two lengths": (
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    ),
    "negative length": b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "length no number": b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
    "length and chunks": (
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    "bad chunk": b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
    "unknown coding": b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    "folded header": b"GET /v2 HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_what_is_no_http_is_refused(server: Server, raw: bytes) -> None:
    said = _exchange(server, raw)
    assert said == b"" or re.match(rb"HTTP/1\.1 4\d\d ", said), said[:200]
    # Whatever follows the first answer on this connection, nothing was smuggled in.
    assert b" 200 " not in said
    assert not LEAKS.search(said)


def test_random_bytes_are_refused(server: Server) -> None:
    chance = random.Random(7)
    template = b"POST /v2/models/numbers/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    for _ in range(150):
        raw = bytearray(template)
        for _ in range(chance.randrange(1, 6)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        said = _exchange(server, bytes(raw), patience=0.05)
        assert said == b"" or re.match(rb"HTTP/1\.1 [24]\d\d ", said), (raw, said)
        assert not LEAKS.search(said)


def test_headers_without_end_are_refused(server: Server, gateway: psutil.Process) -> None:
    """Neither one endless header, nor endlessly many, are kept or get an answer of 200.

    What still comes after the refusal is read for a moment, and thrown away.
    """
    for piece in (b"x" * 65_536, b"a: b\r\n" * 8192):
        before = gateway.memory_info().rss
        with _connect(server) as stranger:
            stranger.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: ")
            sent = 0
            with suppress(OSError):
                while sent < 64 << 20:
                    stranger.sendall(piece)
                    sent += len(piece)
            assert gateway.memory_info().rss - before < 16 << 20, "headers of any size are kept"
            with suppress(OSError):
                said = stranger.recv(100)
                assert said == b"" or re.match(rb"HTTP/1\.1 4\d\d ", said), said


def test_oversized_but_whole_headers_are_refused(server: Server) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n"
    said = _exchange(server, head)
    assert said == b"" or re.match(rb"HTTP/1\.1 4\d\d ", said), said[:100]


def test_slow_and_silent_clients_hold_nobody_up(server: Server, call: Caller) -> None:
    head = _head(server, 1000)
    slow = [_connect(server) for _ in range(100)]
    try:
        for number, each in enumerate(slow):
            each.sendall(head[: number * 7 % len(head)] if number % 2 else head + b'{"inputs"')
        for _ in range(20):
            began = time.monotonic()
            assert call.infer("numbers", x=[[1, 2]]).status == 200
            assert time.monotonic() - began < 1
    finally:
        for each in slow:
            each.close()


def test_a_client_that_is_gone_is_no_error(server: Server, call: Caller) -> None:
    body = json.dumps(_tensor()).encode()
    head = _head(server, len(body))
    for cut in (10, len(head) - 2, len(head), len(head) + 5):
        with _connect(server) as gone:
            gone.sendall((head + body)[:cut])
        with _connect(server) as reset:
            reset.sendall((head + body)[:cut])
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with _connect(server) as unread:
        unread.sendall(head + body)
    assert call("GET", "/livez").status == 200


def test_a_client_that_has_said_all_gets_its_answer(server: Server) -> None:
    body = json.dumps(_tensor()).encode()
    said = _exchange(server, _head(server, len(body)) + body, half_close=True)
    assert said.startswith(b"HTTP/1.1 200 "), said
    assert b'"data":[2.0,4.0]' in said


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    raw = b""
    for number in range(20):
        body = json.dumps(_tensor(data=[number, 0])).encode()
        raw += _head(server, len(body)) + body
    said = _exchange(server, raw, patience=1.0)
    assert [int(float(n)) for n in re.findall(rb'"data":\[([0-9.]+),', said)] == [
        2 * number for number in range(20)
    ]


def test_http_1_0_is_answered_and_closed(server: Server) -> None:
    body = json.dumps(_tensor()).encode()
    head = _head(server, len(body)).replace(b"HTTP/1.1", b"HTTP/1.0")
    said = _exchange(server, head + body, patience=10)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b'"data":[2.0,4.0]' in said


def test_chunked_bodies_are_bodies(server: Server) -> None:
    body = json.dumps(_tensor()).encode()
    head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", _head(server, 0))
    chunks = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in body) + b"0\r\n\r\n"
    said = _exchange(server, head + chunks)
    assert said.startswith(b"HTTP/1.1 200 "), said
    # Chunks announce nothing: the bound holds while they come.
    block = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    said = _exchange(server, head + block * (MOST // 65_536 + 1))
    assert said.startswith(b"HTTP/1.1 413 ") or said == b""


def test_bodies_that_are_not_what_their_headers_say_are_refused(call: Caller) -> None:
    path = "/v2/models/numbers/infer"
    for headers, status in (
        ({"content-encoding": "gzip"}, 400),
        ({"content-encoding": "br, gzip"}, 415),
        ({"inference-header-content-length": "10"}, 400),
    ):
        answer = call("POST", path, _tensor(), headers=headers)
        assert answer.status == status
        _check_error(answer)


def test_strings_of_any_content_pass_unchanged(call: Caller) -> None:
    texts = ["", " ", "\0", "\u2028", "ü", "𝄞", '"\\', "x" * 100_000, "NaN", "my_secret"]
    answer = call.infer("words", text=texts)
    assert answer.status == 200
    assert answer.json()["outputs"][0]["data"] == texts


def _check_error(answer: Answer) -> None:
    assert not LEAKS.search(answer.body), answer.body
    told = answer.json()
    assert told.get("error") or told.get("detail"), told
    assert len(answer.body) < 4096


def _head(server: Server, length: int) -> bytes:
    return (
        "POST /v2/models/numbers/infer HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {server.admin_key}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def _exchange(
    server: Server, raw: bytes, *, patience: float = 0.3, half_close: bool = False
) -> bytes:
    """What the server says to these bytes until it closes, or is silent for `patience` seconds."""
    said = b""
    with _connect(server) as stranger:
        try:
            stranger.sendall(raw)
            if half_close:
                stranger.shutdown(socket.SHUT_WR)
            stranger.settimeout(max(patience, 10.0 if half_close else 0.0))
            while data := stranger.recv(65_536):
                said += data
        except OSError:
            pass
    return said
