"""Nothing but the two probes is answered without a key, under whatever name it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from grpc import StatusCode

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard_client import Client
from tests.e2e.calls import LEAKS, Answer, Caller
from tests.e2e.conftest import Server

OPEN = {"/livez", "/readyz"}
VISITED = {("POST", "/api/v1/sessions"), ("POST", "/api/v1/passwords")}
"""Where one asks with a password or an invitation in the place of a key."""
OWN_TENANT = {
    ("GET", "/api/v1/tenants"),
    ("GET", "/api/v1/tenants/1"),
    ("GET", "/api/v1/me"),
    ("PUT", "/api/v1/me/password"),
    *VISITED,
}
"""What every key may ask: it is told of itself and its own tenant."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUUX")
CRAWLED = Path(__file__).with_name("crawled.txt").read_text().split()


class Keys(NamedTuple):
    infer: str
    infer_id: str
    revoked: str
    expired: str
    elsewhere: str
    reader: str


@pytest.fixture(scope="module")
def keys(server: Server) -> Keys:
    with Client(server.url, server.admin_key) as client:
        revoked = client.keys.create("revoked", settle=0)
        client.keys.revoke(revoked.id)
        ends = datetime.now(UTC) + timedelta(seconds=2)
        expired = client.keys.create("expired", "manage", ends, settle=0)
        elsewhere = client.keys.create("x", "manage", networks=["192.0.2.1"], settle=0)
        reader = client.keys.create("reads", "billing:read", settle=0)
        infer = client.keys.create("infers", settle=2.5)
        return Keys(infer.key, infer.id, revoked.key, expired.key, elsewhere.key, reader.key)


@pytest.fixture(scope="module")
def described(server: Server) -> list[tuple[str, str]]:
    """Each route of the API's own description, with something in the place of parameters."""
    with Caller(server.url, server.admin_key) as call:
        paths = call("GET", "/openapi.json").json()["paths"]
    routes = [
        (method.upper(), re.sub(r"\{[^}]*\}", "1", path))
        for path, item in paths.items()
        for method in item
        if method in ("get", "put", "post", "delete", "patch")
    ]
    assert len(routes) > 25
    return routes


@pytest.fixture
def calls(server: Server, keys: Keys) -> Iterator[dict[str, Caller]]:
    """One connection for each bad key."""
    bad = {
        "none": None,
        "empty": "",
        "garbage": "my_" + "x" * 43,
        "long": "my_" + "x" * 4000,
        "revoked": keys.revoked,
        "expired": keys.expired,
        "cut": server.admin_key[:-1],
        "upper": server.admin_key.upper(),
    }
    opened = {name: Caller(server.url, key) for name, key in bad.items()}
    yield opened
    for call in opened.values():
        call.close()


def test_each_described_route_needs_a_key(
    calls: dict[str, Caller], described: list[tuple[str, str]]
) -> None:
    wrong = []
    for method, path in described:
        for name, call in calls.items():
            answer = call(method, path, {} if method in ("POST", "PUT") else None)
            if (method, path) in VISITED:
                assert answer.status == 400
            elif not _is_refusal(answer):
                wrong.append((name, method, path, answer.status, answer.body[:100]))
    assert wrong == []


def test_an_inference_key_reaches_no_management(
    server: Server, keys: Keys, described: list[tuple[str, str]]
) -> None:
    with Caller(server.url, keys.infer) as call:
        wrong = []
        for method, path in [*described, ("GET", "/metrics")]:
            answer = call(method, path, {} if method in ("POST", "PUT") else None)
            if (method, path) not in OWN_TENANT and answer.status != 403:
                wrong.append((method, path, answer.status, answer.body[:100]))
        assert wrong == []
        assert call("GET", "/v2").status == 200


INFERENCE = [
    ("GET", "/"),
    ("GET", "/v2"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/x"),
    ("GET", "/v2/models/x/ready"),
    ("GET", "/v2/models/x/config"),
    ("GET", "/v2/models/stats"),
    ("POST", "/v2/models/x/infer"),
    ("POST", "/v2/models/x/versions/1/infer"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/x/load"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/x"),
    ("POST", "/v1/models/x:predict"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
]
(SERVICE,) = messages.DESCRIPTOR.services_by_name.values()


def test_no_grpc_method_answers_without_a_good_key(server: Server, keys: Keys) -> None:
    refused = {
        None: StatusCode.UNAUTHENTICATED,
        "my_" + "x" * 43: StatusCode.UNAUTHENTICATED,
        keys.revoked: StatusCode.UNAUTHENTICATED,
        keys.expired: StatusCode.UNAUTHENTICATED,
        keys.elsewhere: StatusCode.PERMISSION_DENIED,
        keys.reader: StatusCode.PERMISSION_DENIED,
    }
    wrong = []
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        for method in SERVICE.methods:
            path = f"/{SERVICE.full_name}/{method.name}"
            for key, expected in refused.items():
                code = _asked_by_grpc(channel, path, key, streams=method.client_streaming)
                if code is not expected:
                    wrong.append((method.name, list(refused).index(key), code))
    assert len(SERVICE.methods) >= 20
    assert wrong == []


def _asked_by_grpc(
    channel: grpc.Channel, path: str, key: str | None, *, streams: bool
) -> grpc.StatusCode:
    """How a call with nothing in it ends."""
    metadata = () if key is None else (("authorization", f"Bearer {key}"),)
    stream: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
    unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        if streams:
            list(stream(iter([b""]), metadata=metadata, timeout=20))
        else:
            unary(b"", metadata=metadata, timeout=20)
    except grpc.RpcError as error:
        return error.code()
    return StatusCode.OK


def test_a_key_of_another_address_or_scope_reaches_no_route_that_is_not_its_own(
    server: Server, keys: Keys, described: list[tuple[str, str]]
) -> None:
    wrong = []
    with Caller(server.url, keys.elsewhere) as elsewhere, Caller(server.url, keys.reader) as reader:
        for method, path in [*described, *INFERENCE, ("GET", "/metrics"), ("GET", "/docs")]:
            if (method, path) in VISITED:
                continue
            status = elsewhere(method, path, {} if method in ("POST", "PUT") else None).status
            if status != 403:
                wrong.append(("elsewhere", method, path, status))
        for method, path in INFERENCE:
            status = reader(method, path, {} if method == "POST" else None).status
            if status != 403:
                wrong.append(("reader", method, path, status))
        assert reader("GET", "/api/v1/usage").status == 200
        assert reader("GET", "/api/v1/keys").status == 403
    assert wrong == []


def test_no_inference_route_answers_without_a_good_key(calls: dict[str, Caller]) -> None:
    wrong = []
    for method, path in INFERENCE:
        for name, call in calls.items():
            answer = call(method, path, {} if method == "POST" else None)
            if not _is_refusal(answer):
                wrong.append((name, method, path, answer.status))
    assert wrong == []


def test_no_other_name_or_method_gets_in(calls: dict[str, Caller]) -> None:
    wrong = []
    for path in CRAWLED:
        for method in METHODS if path in ("/api/v1/keys/", "/", "/v2") else ("GET", "POST"):
            answer = calls["none"](method, path)
            if not _is_refusal(answer):
                wrong.append((method, path, answer.status, answer.body[:100]))
    assert wrong == []


def test_methods_on_real_routes_without_a_key(calls: dict[str, Caller]) -> None:
    wrong = []
    for path in ("/api/v1/keys", "/v2/models/x/infer", "/metrics", "/docs", "/openapi.json"):
        for method in METHODS:
            answer = calls["none"](method, path)
            if not _is_refusal(answer):
                wrong.append((method, path, answer.status, answer.body[:100]))
    assert wrong == []


def test_the_probes_say_nothing_else(calls: dict[str, Caller]) -> None:
    for path in OPEN:
        answer = calls["none"]("GET", path)
        assert (answer.status, answer.json()) == (200, {"status": "ok"})
        assert calls["none"]("POST", path, b"{}").status == 405
        assert "server" not in answer.headers


def test_headers_that_proxies_believe_open_nothing(calls: dict[str, Caller]) -> None:
    for name, value in {
        "x-forwarded-for": "127.0.0.1",
        "x-original-url": "/livez",
        "x-rewrite-url": "/livez",
        "x-http-method-override": "GET",
        "x-forwarded-user": "admin",
        "cookie": "key=my_x",
    }.items():
        assert _is_refusal(calls["none"]("GET", "/api/v1/keys", headers={name: value})), name
    assert _is_refusal(calls["none"]("GET", "/api/v1/keys?key=my_x&api_key=my_x&token=my_x"))


def _is_refusal(answer: Answer) -> bool:
    """401, said as a client expects it, with nothing in it; or no HTTP that means anything."""
    if LEAKS.search(answer.body):
        return False
    if answer.status == 401:
        return "www-authenticate" in answer.headers
    return answer.status == 400 and b"this is not an HTTP/1.1 request" in answer.body
