"""One HTTP/1.1 connection to the gateway, for as long as it speaks to the data plane.

uvicorn runs the process and takes this class for its protocol. Requests to the data plane are
parsed (llhttp, by httptools) and answered right here: no scope, no task, no queue of messages.
At the first request to anything else the connection is handed on to uvicorn's own protocol, and
stays there. Here are also the limits that uvicorn lacks: bytes and number of headers, size of
the body, and the time that a client may take over either.

A client that closes its side has gone: what it waits for is given up (RFC 9112, section 9.6,
leaves that to the server).
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
from uvicorn.server import ServerState

from modelyard.api.asgi_connection import AsgiConnection
from modelyard.api.http import Headers, HttpRequest, HttpResponse
from modelyard.api.large_body import BodyReceiver, LargeBody, take_over
from modelyard.api.limits import ConnectionLimits
from modelyard.api.statuses import error_body
from modelyard.serving.exchange import Exchange

OURS: Final = (b"POST /v2/models/", b"POST /v1/models/", b"GET /v2", b"GET /v1/models")

_CHUNK_FRAME: Final = 64
"""Bytes of framing that a chunk may come with."""

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


class Door(Protocol):
    """Who answers."""

    def answer(self, request: HttpRequest, done: Callable[[HttpResponse], None]) -> Exchange | None:
        """Call `done` with the response, now or later; what is returned can be abandoned."""
        ...

    def turn_away(self, headers: Headers) -> HttpResponse | None:
        """The response to a request whose body is not worth reading; None for a good one."""
        ...


class Pending:
    """A whole request whose turn has not come, or whose answer is not there yet.

    One that could not be read has its response from the start, and no request.
    """

    __slots__ = ("begun", "exchange", "keep_alive", "request", "response")

    def __init__(
        self, request: HttpRequest | None, response: HttpResponse | None, *, keep_alive: bool
    ) -> None:
        self.request = request
        self.response = response
        self.keep_alive = keep_alive
        self.begun = False
        self.exchange: Exchange | None = None


class Connection(asyncio.Protocol):
    """A connection in its own hands; `uvicorn` makes it by the last four arguments.

    `_between` requests nothing has been parsed of the next; `_heading` is set from a request's
    first byte to the end of its head. `_begun` holds the first bytes of one that is not known to
    be ours. Once `_deaf`, nothing more is read; once `_closing`, nothing more is written.
    """

    _body: bytes | bytearray
    _deadline: float
    _headers: Headers
    _large: LargeBody | None
    _first: bool
    _heading: bool
    _offers: bool

    def __init__(
        self,
        door: Door,
        limits: ConnectionLimits,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._door = door
        self._limits = limits
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._pipeline: deque[Pending] = deque()
        self._deaf = self._closing = self._draining = self._lingers = False
        self._choked = self._full = self._foreign = self._expects = False
        self._begun = b""
        self._known = False
        self._between = True
        self._reset()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._wait(self._limits.head_seconds)
        self._timer = self._loop.call_later(self._limits.look_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._server_state.connections.discard(self)
        self._deaf = self._closing = True
        for pending in self._pipeline:
            if pending.exchange is not None:
                pending.exchange.abandon()
        self._pipeline.clear()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._between:
            if self._begun:
                data = self._begun + data
            if not data.startswith(OURS):
                self._begin(data)
                return
            self._begun = b""
            self._known = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_the_offer(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            if not isinstance(reason, _Refused):
                raise
            self._refuse(reason.response)
        except httptools.HttpParserError:
            self._refuse(_refusal(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1.1 request"))
        if not self._between:
            self._in_parts(len(data))

    def pause_writing(self) -> None:
        self._choked = True
        self._wait(self._limits.send_seconds)
        self._flow()

    def resume_writing(self) -> None:
        self._choked = False
        self._wait(self._limits.idle_seconds)
        self._flow()
        self._loop.call_soon(self._answer_next)

    # uvicorn's side

    def shutdown(self) -> None:
        """Close as soon as nothing is being answered."""
        self._draining = True
        if self._begun or not self._between:
            if self._begun or self._heading:
                soon = self._loop.time() + self._limits.drain_seconds
                self._deadline = min(self._deadline, soon)
            return
        if self._pipeline:
            self._deaf = True
            self._pipeline[-1].keep_alive = False
        else:
            self._close()

    # httptools' side

    def on_message_begin(self) -> None:
        self._between = False
        self._reset()
        self._ours, self._known = self._known, False

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.max_head:
            raise _Refused(_refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "the path is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        self._count += 1
        limits = self._limits
        if self._head > limits.max_head or self._count > limits.max_headers:
            raise _Refused(
                _refusal(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"at most {limits.max_headers} headers of {limits.max_head} bytes in all",
                )
            )
        if self._heading:
            self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self._heading = False
        headers = self._headers
        if b"upgrade" in headers and self._parser.should_upgrade():
            self._offers = True
            return
        if not self._ours and not self._line().startswith(OURS):
            raise _Refused(
                _refusal(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    "requests to this route are not pipelined behind inference: "
                    "send it once those are answered",
                )
            )
        # llhttp has seen to it that this is a number, and of no more than 64 bits.
        announced = int(headers.get(b"content-length", b"0"))
        self._check_size(announced)
        if announced >= self._limits.large_body or b"transfer-encoding" in headers:
            self._expect_much(announced)
        if b"expect" in headers:
            self._expect()
        self._wait(self._limits.body_seconds + announced / self._limits.least_rate)

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        self._check_size(self._size)
        if self._large is not None:
            self._large.add(body)
        elif not self._body:
            self._body = body
        else:
            # The second part makes it one that can grow: many small parts must not be many.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        if self._offers:
            return
        self._between = True
        if self._deaf:
            return
        path = self._url.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        large, self._large = self._large, None
        request = HttpRequest(
            self._parser.get_method().decode(),
            path.decode("utf-8", "replace"),
            self._headers,
            bytes(self._body) if large is None else large.whole,
        )
        keep_alive = self._parser.should_keep_alive() and not self._draining
        pending = Pending(request, None, keep_alive=keep_alive)
        self._deaf = not keep_alive
        self._enqueue(pending)

    # A request that comes

    def _reset(self) -> None:
        self._url = b""
        self._head = self._count = self._size = self._chunks = self._later = 0
        self._headers = {}
        self._body = b""
        self._large = None
        self._heading = self._first = True
        self._expects = self._offers = False

    def _line(self) -> bytes:
        return b"%b %b" % (self._parser.get_method(), self._url)

    def _begin(self, data: bytes) -> None:
        """Not one of ours, or too little of it to tell: wait for the whole of its head, which
        uvicorn would wait for without an end.
        """
        whole = b"\r\n\r\n" in data or b"\n\n" in data or not data[:1].isalpha()
        if not whole and len(data) > self._limits.max_head:
            self._refuse(
                _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long")
            )
        elif not whole or self._pipeline:
            if not self._begun:
                self._wait(self._limits.head_seconds)
            self._begun = data
            self._foreign = whole
            self._flow()
        else:
            self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        """Let uvicorn's protocol have the connection from here on."""
        self._timer.cancel()
        self._server_state.connections.discard(self)
        heir = AsgiConnection(self._config, self._server_state, self._app_state, self._loop)
        self._deaf = self._closing = True
        take_over(self._transport, heir)
        heir.connection_made(self._transport)
        heir.data_received(data)
        if self._draining:
            heir.shutdown()

    def _pass_over_the_offer(self, rest: bytes) -> None:
        """Read on as if no upgrade had been offered: RFC 9110, section 7.8, lets a server do so.

        llhttp stops at the end of such a head, so it gets the same again without the offer.
        """
        lines = (b"%b: %b\r\n" % pair for pair in self._headers.items() if pair[0] != b"upgrade")
        version = self._parser.get_http_version().encode()
        head = b"%b HTTP/%b\r\n%b\r\n" % (self._line(), version, b"".join(lines))
        self._parser = httptools.HttpRequestParser(self)
        self._between = True
        self.data_received(head + rest)

    def _in_parts(self, size: int) -> None:
        """The request is not whole yet: see that what it is made of is not without an end."""
        if self._first:
            self._first = False
            if self._heading:
                self._wait(self._limits.head_seconds)
        else:
            self._later += size
        limits = self._limits
        if self._heading:
            if self._later > limits.max_head:
                self._refuse(
                    _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long")
                )
        elif self._chunks:
            if self._later > self._size + self._chunks * _CHUNK_FRAME + limits.max_head:
                self._refuse(_refusal(HTTPStatus.BAD_REQUEST, "too much around too small chunks"))
        elif self._large is not None and not self._deaf:
            take_over(self._transport, BodyReceiver(self, self._large))

    def body_received(self) -> None:
        """A large body is whole. llhttp has not seen it: the next request has a new parser."""
        take_over(self._transport, self)
        self._full = False
        self._flow()
        self.on_message_complete()
        self._parser = httptools.HttpRequestParser(self)

    def _expect_much(self, announced: int) -> None:
        """See to the key before a body that may be large is read."""
        refusal = self._door.turn_away(self._headers)
        if refusal is not None:
            raise _Refused(refusal)
        if announced:
            length = self._headers.get(b"inference-header-content-length", b"0")
            offset = int(length) if length.isdigit() and len(length) < 10 else 0
            self._large = LargeBody(announced, offset)

    def _expect(self) -> None:
        """Ask for the body, in turn, where the client waits for that."""
        asks = self._headers[b"expect"].lower() == b"100-continue"
        if asks and self._parser.get_http_version() == "1.1":
            self._expects = bool(self._pipeline)
            if not self._expects:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_body:
            raise _Refused(
                _refusal(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body is larger than {self._limits.max_body} bytes",
                )
            )

    def _refuse(self, response: HttpResponse) -> None:
        """Answer, in turn, what cannot be read any further; then close."""
        if not self._deaf:
            self._deaf = self._lingers = True
            self._enqueue(Pending(None, response, keep_alive=False))

    # Its answer

    def _enqueue(self, pending: Pending) -> None:
        self._pipeline.append(pending)
        if len(self._pipeline) == 1:
            if not self._choked:
                self._answer(pending)
        elif len(self._pipeline) >= self._limits.max_pipeline:
            self._flow()

    def _answer(self, pending: Pending) -> None:
        pending.begun = True
        if pending.request is None:
            self._respond(pending, cast(HttpResponse, pending.response))
            return

        def done(response: HttpResponse) -> None:
            self._respond(pending, response)

        pending.exchange = self._door.answer(pending.request, done)

    def _respond(self, pending: Pending, response: HttpResponse) -> None:
        if self._closing:
            return
        self._transport.write(self._encode(pending, response))
        self._pipeline.popleft()
        pending.exchange = None
        if not pending.keep_alive:
            self._close()
        elif self._pipeline:
            # Not from within this call: a long pipeline must not become a deep stack.
            self._loop.call_soon(self._answer_next)
        elif self._foreign:
            self._hand_on(self._begun)
        else:
            self._wait(self._limits.idle_seconds)
            if self._expects:
                self._expects = False
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _encode(self, pending: Pending, response: HttpResponse) -> bytes:
        """The response's bytes. uvicorn renews the date in `default_headers` once a second."""
        body = response.body
        lines = [
            _STATUS_LINES[response.status],
            b"content-type: %b\r\ncontent-length: %d\r\n" % (response.content_type, len(body)),
        ]
        lines += [b"%b: %b\r\n" % pair for pair in self._server_state.default_headers]
        lines += [b"%b: %b\r\n" % pair for pair in response.headers]
        if not pending.keep_alive:
            lines.append(b"connection: close\r\n")
        elif pending.request is not None and b"connection" in pending.request.headers:
            # HTTP/1.0 closes unless it is told otherwise.
            lines.append(b"connection: keep-alive\r\n")
        lines += [b"\r\n", body]
        return b"".join(lines)

    def _answer_next(self) -> None:
        if self._pipeline and not self._choked and not self._closing:
            self._flow()
            if not self._pipeline[0].begun:
                self._answer(self._pipeline[0])

    # Flow and time

    def _flow(self) -> None:
        """Read on, unless the client is ahead of its answers."""
        full = self._choked or self._foreign or len(self._pipeline) >= self._limits.max_pipeline
        if full != self._full and not self._closing:
            self._full = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _wait(self, seconds: float) -> None:
        """Give the client so long for what comes next. Cheap: the timer is not moved for it."""
        self._deadline = self._loop.time() + seconds

    def _look(self) -> None:
        """Now and then, see whether the client is too slow."""
        turn = self._choked or not self._pipeline
        # Of a body of unknown length, what has come of it counts.
        late = self._deadline + (self._size / self._limits.least_rate if self._chunks else 0.0)
        if turn and self._loop.time() >= late:
            self._too_slow()
        else:
            self._timer = self._loop.call_later(self._limits.look_seconds, self._look)

    def _too_slow(self) -> None:
        if self._choked or (self._between and not self._begun):
            self._close()
        else:
            self._refuse(_refusal(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time"))

    def _close(self) -> None:
        """Close once what has been written is sent, if it is taken in time."""
        limits = self._limits
        self._deaf = self._closing = True
        self._timer.cancel()
        unsent = self._transport.get_write_buffer_size()
        if self._lingers:
            # To close while there is more to read would take the answer back (RFC 9112, 9.6).
            self._transport.resume_reading()
            self._transport.write_eof()
        else:
            self._transport.close()
        if self._choked:
            self._transport.abort()
        elif self._lingers or unsent:
            seconds = limits.linger_seconds + unsent / limits.least_rate
            self._timer = self._loop.call_later(seconds, self._transport.abort)


class _Refused(Exception):
    """A request that is not read to its end."""

    def __init__(self, response: HttpResponse) -> None:
        self.response = response


def _refusal(status: HTTPStatus, message: str) -> HttpResponse:
    return HttpResponse(status, error_body(message))
