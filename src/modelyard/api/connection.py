"""One HTTP/1.1 connection to the gateway, for as long as it speaks to the data plane.

uvicorn runs the process and takes this class for its protocol. Requests to the data plane are
parsed (llhttp, by httptools) and answered right here: no scope, no task, no queue of messages.
At the first request to anything else the connection is handed on to uvicorn's own protocol, and
stays there. Here are also the limits that uvicorn lacks: bytes and number of headers, size of
the body, and the time that a client may take over either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from modelyard.api.http import Headers, HttpRequest, HttpResponse
from modelyard.api.statuses import error_body
from modelyard.serving.exchange import Exchange

OURS: Final = (b"POST /v2/models/", b"POST /v1/models/", b"GET /v2", b"GET /v1/models")
_LONGEST: Final = max(len(prefix) for prefix in OURS)

MAX_HEAD: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_PIPELINE: Final = 64
HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 75.0
LOOK_SECONDS: Final = 1.0
LEAST_RATE: Final = 16 * 1024
"""Bytes a second that a body must come with, over and above `BODY_SECONDS`."""

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


class Door(Protocol):
    """Who answers."""

    def answer(self, request: HttpRequest, done: Callable[[HttpResponse], None]) -> Exchange | None:
        """Call `done` with the response, now or later; what is returned can be abandoned."""
        ...


class Pending:
    """A whole request whose turn has not come, or whose answer is not there yet."""

    __slots__ = ("exchange", "keep_alive", "request", "response")

    def __init__(self, request: HttpRequest, *, keep_alive: bool) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.exchange: Exchange | None = None
        self.response: HttpResponse | None = None


class Connection(asyncio.Protocol):
    """A connection in its own hands; `uvicorn` makes it by the last four arguments."""

    def __init__(
        self,
        door: Door,
        max_body: int,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._door = door
        self._max_body = max_body
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._pipeline: deque[Pending] = deque()
        self._closing = False
        self._draining = False
        self._begun = b""
        self._between = True
        self._reset()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._wait(HEAD_SECONDS)
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._server_state.connections.discard(self)
        self._closing = True
        for pending in self._pipeline:
            if pending.exchange is not None:
                pending.exchange.abandon()
        self._pipeline.clear()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._between:
            data = self._begun + data
            if not data.startswith(OURS):
                self._begin(data)
                return
            self._begun = b""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(HTTPStatus.BAD_REQUEST, "this route upgrades to nothing")
        except _Refused as refused:
            self._refuse(refused.status, refused.message)
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            if not isinstance(reason, _Refused):
                raise
            self._refuse(reason.status, reason.message)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1.1 request")

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._closing and len(self._pipeline) < MAX_PIPELINE:
            self._transport.resume_reading()

    # uvicorn's side

    def shutdown(self) -> None:
        """Close as soon as nothing is being answered."""
        if self._pipeline or not self._between:
            if self._pipeline:
                self._pipeline[-1].keep_alive = False
            self._draining = True
        else:
            self._close()

    # httptools' side

    def on_message_begin(self) -> None:
        self._between = False
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > MAX_HEAD:
            raise _Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "the path is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        self._count += 1
        if self._head > MAX_HEAD or self._count > MAX_HEADERS:
            raise _Refused(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"at most {MAX_HEADERS} headers of {MAX_HEAD} bytes in all",
            )
        self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        length = self._headers.get(b"content-length", b"0")
        # llhttp has seen to it that this is a number.
        announced = int(length) if len(length) <= 18 else self._max_body + 1
        self._check_size(announced)
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._wait(BODY_SECONDS + announced / LEAST_RATE)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        self._check_size(self._size)
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._between = True
        path = self._url.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = HttpRequest(
            self._parser.get_method().decode(), path.decode("utf-8", "replace"), self._headers, body
        )
        keep_alive = self._parser.should_keep_alive() and not self._draining
        pending = Pending(request, keep_alive=keep_alive)
        self._pipeline.append(pending)
        if len(self._pipeline) == 1:
            self._answer(pending)
        elif len(self._pipeline) >= MAX_PIPELINE:
            self._transport.pause_reading()

    # ours

    def _reset(self) -> None:
        self._url = b""
        self._head = 0
        self._count = 0
        self._headers: Headers = {}
        self._body: list[bytes] = []
        self._size = 0

    def _begin(self, data: bytes) -> None:
        """Not one of ours, or too little of it to tell."""
        if len(data) < _LONGEST and any(prefix.startswith(data) for prefix in OURS):
            self._begun = data
            return
        self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        """Let uvicorn's protocol have the connection from here on."""
        self._timer.cancel()
        self._server_state.connections.discard(self)
        heir = HttpToolsProtocol(self._config, self._server_state, self._app_state, self._loop)
        self._transport.set_protocol(heir)
        heir.connection_made(self._transport)
        heir.data_received(data)

    def _answer(self, pending: Pending) -> None:
        def done(response: HttpResponse) -> None:
            self._respond(pending, response)

        pending.exchange = self._door.answer(pending.request, done)

    def _respond(self, pending: Pending, response: HttpResponse) -> None:
        if self._closing:
            return
        self._transport.write(_encode(response, self._server_state, keep_alive=pending.keep_alive))
        self._pipeline.popleft()
        pending.exchange = None
        if not pending.keep_alive:
            self._close()
            return
        if self._pipeline:
            self._transport.resume_reading()
            # Not from within this call: a long pipeline must not become a deep stack.
            self._loop.call_soon(self._answer_next)
        else:
            self._wait(IDLE_SECONDS)

    def _answer_next(self) -> None:
        if self._pipeline and not self._closing:
            self._answer(self._pipeline[0])

    def _check_size(self, size: int) -> None:
        if size > self._max_body:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body is larger than {self._max_body} bytes",
            )

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer what cannot be read any further, and close."""
        response = HttpResponse(status, error_body(message))
        if not self._pipeline:
            self._transport.write(_encode(response, self._server_state, keep_alive=False))
        self._close()

    def _wait(self, seconds: float) -> None:
        """Give the client so long for what comes next. Cheap: the timer is not moved for it."""
        self._deadline = self._loop.time() + seconds

    def _look(self) -> None:
        """Now and then, see whether the client is too slow."""
        if not self._pipeline and self._loop.time() >= self._deadline:
            self._too_slow()
        else:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def _too_slow(self) -> None:
        if self._between and not self._begun:
            self._close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")

    def _close(self) -> None:
        self._closing = True
        self._timer.cancel()
        self._transport.close()


class _Refused(Exception):
    """A request that is not read to its end."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        self.message = message


def _encode(response: HttpResponse, state: ServerState, *, keep_alive: bool) -> bytes:
    """The response's bytes. uvicorn renews the date in `default_headers` once a second."""
    body = response.body
    lines = [
        _STATUS_LINES[response.status],
        b"content-type: %b\r\ncontent-length: %d\r\n" % (response.content_type, len(body)),
    ]
    lines += [b"%b: %b\r\n" % pair for pair in state.default_headers]
    lines += [b"%b: %b\r\n" % pair for pair in response.headers]
    lines.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    lines.append(body)
    return b"".join(lines)
