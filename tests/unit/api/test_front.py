"""Default deny: nothing but the two probes is answered without a good key."""

import base64
import itertools
import json
from collections.abc import AsyncIterator, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from modelyard.api.asgi import Receive, Send, respond
from modelyard.api.asgi import Scope as AsgiScope
from modelyard.core.access import Grant, Scope
from modelyard.core.clock import ManualClock
from tests.dataplane import OTHER_TENANT, TENANT, Gateway, call, picker

PATHS = [
    "/",
    "",
    "/livez/",
    "/LIVEZ",
    "//livez",
    "/livez/../api/v1/keys",
    "/readyz/",
    "/%6civez",
    "/v2",
    "/v2/",
    "/V2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/picker",
    "/v2/models/picker/ready",
    "/v2/models/picker/infer",
    "/v2/models/picker/infer/",
    "/v2/models/picker/versions/1/infer",
    "//v2//models/picker/infer",
    "/v2/../v2/models/picker/infer",
    "/v2/%2e%2e/livez",
    "/v1/models",
    "/v1/models/picker",
    "/v1/models/picker:predict",
    "/V1/MODELS/picker:predict",
    "/v1",
    "/api/v1/keys",
    "/api/v1/keys/",
    "//api/v1/keys",
    "/api/v1/uploads/0",
    "/API/V1/KEYS",
    "/metrics",
    "/metrics/",
    "/docs",
    "/docs/",
    "/docs/swagger-ui.css",
    "/docs/../api/v1/keys",
    "/openapi.json",
    "/schema",
    "/favicon.ico",
    "/\x00",
    "/\u00e9",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
BAD_HEADERS = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer "},
    {"authorization": "Bearer garbage"},
    {"authorization": "Bearer my_revoked"},
    {"authorization": "Bearer my_expired"},
    {"authorization": "my_good"},
    {"authorization": "Bearer my_good extra"},
    {"authorization": "Bearer my_Good"},
    {"authorization": "Bearer " + "x" * 100_000},
    {"authorization": "Digest my_good"},
    {"x-api-key": ""},
    {"x-api-key": "my_revoked"},
    {"x-api-key": "\x00"},
    {"cookie": "key=my_good"},
]
DOCUMENTATION = ["/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json"]


class Reached:
    """Stands where the management app does, and keeps what was let through."""

    def __init__(self) -> None:
        self.grants: list[Grant] = []

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        self.grants.append(scope["auth"])
        await respond(send, 200, b"reached")


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    clock = ManualClock()
    made = Gateway(tmp_path, clock)
    made.key("my_good")
    made.key("my_manager", Scope.MANAGE)
    made.key("my_operator", Scope.ADMIN, OTHER_TENANT)
    made.key("my_revoked", Scope.ADMIN)
    made.key("my_expired", Scope.ADMIN, expires=clock.now() + timedelta(seconds=60))
    made.deploy(picker())
    made.revoke("my_revoked")
    made.publish()
    clock.advance(60)
    made.front.management = Reached()
    yield made
    await made.close()


def reached(gateway: Gateway) -> list[Grant]:
    app = gateway.front.management
    assert isinstance(app, Reached)
    return app.grants


def basic(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"any:{password}".encode()).decode()}


@pytest.mark.asyncio
@pytest.mark.parametrize("path", PATHS)
async def test_without_a_good_key_every_path_by_every_method_is_401(
    gateway: Gateway, path: str
) -> None:
    for method, headers in itertools.product(METHODS, BAD_HEADERS):
        answer = await call(gateway.front, method, path, b"{}", headers)
        assert answer.status == 401, (method, headers)
        assert "www-authenticate" in answer.headers
        if path == "/" or path.startswith(("/v2", "/v1/")):
            assert list(answer.json()) == ["error"]
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert (problem["status"], problem["code"]) == (401, "unauthenticated")
            assert problem["title"] == "Unauthorized"
    assert reached(gateway) == []
    assert gateway.events() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_the_probes_alone_are_open(gateway: Gateway, path: str) -> None:
    for method in METHODS:
        answer = await call(gateway.front, method, path)
        assert answer.status == (200 if method in ("GET", "HEAD") else 405)


@pytest.mark.asyncio
async def test_not_ready_until_the_first_snapshot_and_from_the_drain_on(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    try:
        assert (await call(gateway.front, "GET", "/livez")).status == 200
        assert (await call(gateway.front, "GET", "/readyz")).status == 503
        gateway.key("my_good")
        gateway.deploy(picker())
        gateway.publish()
        assert (await call(gateway.front, "GET", "/readyz")).status == 200
        gateway.service.drain()
        answer = await call(gateway.front, "GET", "/readyz")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await call(gateway.front, "GET", "/livez")).status == 200
        live = await call(gateway.front, "POST", "/v1/models/picker:predict", {"instances": [1]},
                          key="my_good")  # fmt: skip
        assert live.json() == {"predictions": [20]}
    finally:
        await gateway.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/v2/models/picker", "/api/v1/keys", "/metrics"])
async def test_an_unknown_a_revoked_and_an_expired_key_look_the_same(
    gateway: Gateway, path: str
) -> None:
    answers = [
        await call(gateway.front, "GET", path, key=key)
        for key in ("my_never", "my_revoked", "my_expired", "x" * 10_000)
    ]
    assert len({(answer.status, answer.body, str(answer.headers)) for answer in answers}) == 1


@pytest.mark.asyncio
async def test_a_key_that_expires_is_refused_from_that_moment(tmp_path: Path) -> None:
    clock = ManualClock()
    gateway = Gateway(tmp_path, clock)
    gateway.key("my_short", expires=clock.now() + timedelta(seconds=1))
    gateway.publish()
    assert (await call(gateway.front, "GET", "/v2", key="my_short")).status == 200
    clock.advance(0.999)
    assert (await call(gateway.front, "GET", "/v2", key="my_short")).status == 200
    clock.advance(0.001)
    assert (await call(gateway.front, "GET", "/v2", key="my_short")).status == 401
    await gateway.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer my_good"},
        {"authorization": "bearer my_good"},
        {"AUTHORIZATION": "BEARER   my_good  "},
        {"x-api-key": "my_good"},
        {"X-API-Key": " my_good "},
        {"authorization": "Basic x", "x-api-key": "my_good"},
    ],
)
async def test_a_good_key_is_taken_from_either_header(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    assert (await call(gateway.front, "GET", "/v2", headers=headers)).status == 200
    assert (await call(gateway.front, "GET", "/api/v1/keys", headers=headers)).body == b"reached"
    assert reached(gateway) == [Grant("key_my_good", TENANT, Scope.INFER)]


@pytest.mark.asyncio
@pytest.mark.parametrize("path", PATHS)
async def test_basic_opens_the_documentation_to_reading_and_nothing_else(
    gateway: Gateway, path: str
) -> None:
    for method in METHODS:
        answer = await call(gateway.front, method, path, b"{}", basic("my_operator"))
        readable = path in DOCUMENTATION and method in ("GET", "HEAD")
        assert answer.status == (200 if readable else 401), method


@pytest.mark.asyncio
@pytest.mark.parametrize("path", DOCUMENTATION)
async def test_a_browser_is_asked_for_basic_where_it_may_use_it(
    gateway: Gateway, path: str
) -> None:
    answer = await call(gateway.front, "GET", path)
    assert answer.headers["www-authenticate"].startswith("Basic ")
    for password in ("", "my_revoked", "garbage"):
        assert (await call(gateway.front, "GET", path, headers=basic(password))).status == 401
    malformed = {"authorization": "Basic \u00ff!!"}
    assert (await call(gateway.front, "GET", path, headers=malformed)).status == 401


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/v2", "/api/v1/keys", "/metrics"])
async def test_elsewhere_bearer_is_asked_for(gateway: Gateway, path: str) -> None:
    answer = await call(gateway.front, "GET", path)
    assert answer.headers["www-authenticate"] == 'Bearer realm="modelyard"'


@pytest.mark.asyncio
async def test_metrics_need_manage_and_show_a_tenant_its_own(gateway: Gateway) -> None:
    refused = await call(gateway.front, "GET", "/metrics", key="my_good")
    assert refused.status == 403
    assert refused.json()["code"] == "forbidden"
    assert "scope 'infer'" in refused.json()["detail"]
    await call(
        gateway.front, "POST", "/v1/models/picker:predict", {"instances": [1]}, key="my_good"
    )
    own = await call(gateway.front, "GET", "/metrics", key="my_manager")
    assert own.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'deployment="picker"' in own.body
    gateway.key("my_rival", Scope.MANAGE, OTHER_TENANT)
    gateway.publish()
    assert b"picker" not in (await call(gateway.front, "GET", "/metrics", key="my_rival")).body
    assert b"picker" in (await call(gateway.front, "GET", "/metrics", key="my_operator")).body
    assert (await call(gateway.front, "POST", "/metrics", key="my_manager")).status == 405


@pytest.mark.asyncio
async def test_a_gateway_without_a_management_api_says_so(gateway: Gateway) -> None:
    gateway.front.management = None
    answer = await call(gateway.front, "GET", "/api/v1/keys", key="my_manager")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "unavailable"


@pytest.mark.asyncio
@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Bearer my_operator")]])
async def test_web_sockets_are_closed_before_they_open(
    gateway: Gateway, headers: list[tuple[bytes, bytes]]
) -> None:
    sent: list[Any] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v2", "headers": headers}
    await gateway.front(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert reached(gateway) == []


@pytest.mark.asyncio
async def test_a_message_never_repeats_the_key(gateway: Gateway) -> None:
    for path in ("/v2", "/api/v1/keys", "/docs"):
        answer = await call(gateway.front, "GET", path, key="my_secret_of_mine")
        assert b"my_secret_of_mine" not in answer.body
        assert "my_secret_of_mine" not in json.dumps(answer.headers)
