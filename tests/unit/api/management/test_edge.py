"""What holds for every request, whatever the application behind does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelyard.api.asgi import Message, Receive, Scope, Send, respond
from modelyard.api.management.edge import Edge
from modelyard.core.access import Grant
from modelyard.core.access import Scope as KeyScope
from modelyard.core.errors import Unavailable

pytestmark = pytest.mark.asyncio

GRANT = Grant("key_1", "tnt_1", KeyScope.MANAGE)


class Caller:
    """Sends one request and keeps what comes back."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, app: Any, **scope: Any) -> dict[bytes, bytes]:
        whole = {"type": "http", "method": "GET", "path": "/x", "headers": [], **scope}
        await Edge(app)(whole, self._receive, self._send)
        return dict(self.messages[0].get("headers", []))

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def problem(self) -> dict[str, Any]:
        told: dict[str, Any] = msgspec.json.decode(self.messages[1]["body"])
        return told

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)


async def _hello(scope: Scope, _: Receive, send: Send) -> None:
    await respond(send, 200, b"hello", "text/plain", {"cache-control": "max-age=5"})


@pytest.mark.parametrize("auth", [None, "admin", {"scope": "admin"}, True])
async def test_nothing_but_a_grant_is_a_grant(auth: object) -> None:
    async def unreachable(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError("got in")

    caller = Caller()
    await caller(unreachable, auth=auth)
    assert caller.status == 401
    assert caller.problem["code"] == "unauthenticated"


async def test_headers_of_the_application_are_kept_and_the_safe_ones_added() -> None:
    caller = Caller()
    headers = await caller(_hello, auth=GRANT, request_id="req_of_the_front")
    assert headers[b"cache-control"] == b"max-age=5"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-request-id"] == b"req_of_the_front"


async def test_failures_that_no_layer_caught_are_told_as_problems() -> None:
    async def away(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise Unavailable("later", retry_after=7)

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("secret")

    caller = Caller()
    headers = await caller(away, auth=GRANT)
    assert (caller.status, headers[b"retry-after"]) == (503, b"7")
    caller = Caller()
    await caller(broken, auth=GRANT)
    assert caller.status == 500
    assert "secret" not in caller.problem["detail"]


async def test_an_answer_that_breaks_off_is_not_followed_by_another() -> None:
    async def breaking(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("halfway")

    caller = Caller()
    with pytest.raises(RuntimeError, match="halfway"):
        await caller(breaking, auth=GRANT)
    assert len(caller.messages) == 1


async def test_a_websocket_is_closed() -> None:
    caller = Caller()
    await caller(_hello, type="websocket", auth=GRANT)
    assert caller.messages == [{"type": "websocket.close", "code": 1008}]
