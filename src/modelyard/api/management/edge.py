"""What holds for every request before any route is looked for: an id, a grant, safe headers."""

from __future__ import annotations

from typing import Final

from modelyard.api.asgi import App, Message, Receive, Scope, Send, respond
from modelyard.api.management.problems import encoded, unexpected
from modelyard.api.statuses import PROBLEM_JSON, Problem, headers_of, problem
from modelyard.core import ids
from modelyard.core.access import Grant, Visitor
from modelyard.core.errors import Invalid, ModelyardError, Unauthenticated

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Edge:
    """Wraps the application: nothing gets in without a `Grant` in `scope["auth"]`, or a
    `Visitor` for the routes that let visitors in.

    Whoever calls this application (the gateway's front) has checked the key by then. A request
    id that it chose, in `scope["request_id"]`, is kept.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request_id: str = scope.setdefault("request_id", ids.new_id(ids.REQUEST))
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _complete(message["headers"], request_id)}
            await send(message)

        try:
            _admit(scope)
            await self._app(scope, receive, send_with_headers)
        except ModelyardError as error:
            await _tell(send_with_headers, problem(error), headers_of(error))
        except Exception:
            if started:
                raise
            await _tell(send_with_headers, unexpected(scope), {})


def _admit(scope: Scope) -> None:
    if not isinstance(scope.get("auth"), Grant | Visitor):
        raise Unauthenticated("a key is required: send 'Authorization: Bearer my_...'")
    # No name, id or value of ours holds a NUL, and PostgreSQL cannot even be asked for one.
    if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
        raise Invalid("the path and the query must not hold NUL characters")


def _complete(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    ours = (*_HEADERS, (b"x-request-id", request_id.encode()))
    return [*headers, *(each for each in ours if each[0] not in present)]


async def _tell(send: Send, told: Problem, headers: dict[str, str]) -> None:
    await respond(send, told.status, encoded(told), PROBLEM_JSON, headers)
