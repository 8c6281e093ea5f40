"""The little of ASGI that raw handlers need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from modelyard.core.errors import Invalid, ModelyardError, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = Iterable[tuple[bytes, bytes]]

Push = Callable[[bytes], bool]
"""Writes more of a response's body at once; False where it has to be sent and waited for."""
PUSH: Final = "modelyard.push"
"""The name of that among the extensions of a scope, on a connection of ours."""


class Gone(ModelyardError):
    """The client went away before its request was whole."""

    code = "client_gone"


async def read_body(
    headers: Headers,
    receive: Receive,
    limit: int,
    came: Callable[[int], None] = lambda size: None,
) -> bytes:
    """The whole body. `came` is told how many bytes of it there are, and may refuse them.

    Raises:
        TooLarge: more than `limit` bytes are announced or arrive.
        Gone: the client went away.
    """
    check_length(headers, limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    came(len(body))
    if message["type"] == "http.request" and not message.get("more_body"):
        return _bounded(body, limit)
    parts, size = [body], len(body)
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        came(size)
    if message["type"] != "http.request":
        raise Gone("the client went away")
    return _bounded(b"".join(parts), limit)


def first_values(headers: Headers) -> dict[bytes, bytes]:
    """The headers by name; of one that came twice, the first value."""
    return dict(reversed(list(headers)))


def check_length(headers: Headers, limit: int) -> None:
    """Refuse a body that announces itself as too large, before it is read.

    Raises:
        TooLarge: its Content-Length is over the limit.
        Invalid: its Content-Length is not a number.
    """
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit():
                raise Invalid("Content-Length is not a number")
            if len(value) > 18 or int(value) > limit:
                raise _too_large(limit)


def pusher(scope: Scope) -> Push:
    """What pushes the body of the response; where there is no such extension, it never does."""
    push: Push = scope.get("extensions", {}).get(PUSH, _never)
    return push


async def respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send a whole response."""
    lines = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    if headers:
        lines += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def _never(data: bytes) -> bool:
    return False


def _bounded(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes")
