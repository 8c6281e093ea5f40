"""A connection that does not speak to the data plane: uvicorn's, with the same limits as ours.

It answers a client that closes its side once it has sent its request whole.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from modelyard.api.asgi import PUSH, Scope
from modelyard.api.capacity import Seat
from modelyard.api.limits import ConnectionLimits
from modelyard.api.statuses import PROBLEM_JSON, Problem


class Overrun(Exception):
    """Ends the parsing of a head that is over a bound."""


class AsgiConnection(HttpToolsProtocol):
    """Takes over from a connection of ours, and its seat.

    `_head_since` is set while a head comes, `_body_since` while a body does; a body's time does
    not pass while the application does not want more of it. `_choked_since` is set while the
    client does not take what it is sent. Once `_deaf`, nothing more is read.
    """

    def __init__(self, limits: ConnectionLimits, seat: Seat, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._limits = limits
        self._seat = seat
        self._refusal = (HTTPStatus.BAD_REQUEST, "this is not an HTTP/1.1 request")
        self._head_since: float | None = None
        self._head_size = self._head_count = 0
        self._body_since: float | None = None
        self._body_size = 0
        self._choked_since: float | None = None
        self._deaf = False
        self._running: RequestResponseCycle | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(self._limits.look_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._seat.leave()
        self._give_up()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        began = self._head_since
        super().data_received(data)
        # A head that goes on is counted by what has come, for the parser keeps it all.
        same = began is not None and began is self._head_since
        if same and not self._deaf:
            self._head_size += len(data)
            if self._head_size > self._limits.max_head:
                self._refuse(*self._head_too_large())

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """True keeps our side open, for the answer to a request that has come whole."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        self._choked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._choked_since = None
        super().resume_writing()

    # The parser's side; what is raised here ends in `send_400_response`

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_since = self.loop.time()
        self._head_size = self._head_count = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        limits = self._limits
        if len(self.url) > limits.max_url:
            too_long = f"the path is longer than {limits.max_url} bytes"
            self._refusal = (HTTPStatus.REQUEST_URI_TOO_LONG, too_long)
            raise Overrun

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        self._head_count += 1
        limits = self._limits
        if self._head_size > limits.max_head or self._head_count > limits.max_headers:
            self._refusal = self._head_too_large()
            raise Overrun
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_since = None
        self._body_since, self._body_size = self.loop.time(), 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when the parser has ended on an error."""
        self._refuse(*self._refusal)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        scope = cast(Scope, cycle.scope)
        scope["extensions"] = {PUSH: partial(_push, cycle)}
        super()._start_asgi_task(cycle, app)

    # Refusals and time

    def _head_too_large(self) -> tuple[HTTPStatus, str]:
        limits = self._limits
        message = f"at most {limits.max_headers} headers of {limits.max_head} bytes in all"
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Say why, unless an answer is on its way, and close once the client has had it."""
        if self._may_tell():
            self.transport.write(self._told(status, message))
        self._deaf = True
        self._head_since = self._body_since = None
        self._give_up()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._timer.cancel()
        self._timer = self.loop.call_later(self._limits.linger_seconds, self.transport.abort)

    def _give_up(self) -> None:
        """Let the application write no more: of pipelined requests, `cycle` is the last one's."""
        for cycle in (self._running, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _may_tell(self) -> bool:
        """Whether it is the turn of an answer to what is being read."""
        cycle: RequestResponseCycle | None = self.cycle
        if self.pipeline or cycle is None:
            return cycle is None
        return not cycle.response_started if self._body_since else bool(cycle.response_complete)

    def _told(self, status: HTTPStatus, message: str) -> bytes:
        body = msgspec.json.encode(Problem(status.value, status.phrase, message, "invalid"))
        lines = [
            b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode()),
            b"content-type: " + PROBLEM_JSON.encode(),
            b"content-length: %d" % len(body),
            b"connection: close",
            *(b"%b: %b" % pair for pair in self.server_state.default_headers),
        ]
        return b"\r\n".join([*lines, b"", body])

    def _look(self) -> None:
        """Now and then, see whether the client is too slow."""
        limits, now = self._limits, self.loop.time()
        self._timer = self.loop.call_later(limits.look_seconds, self._look)
        if self._choked_since is not None:
            if now - self._choked_since >= limits.send_seconds:
                self._give_up()
                self.transport.abort()
        elif self.transport.is_closing():
            # What it has not taken by the next look but some, it will not take.
            self._choked_since = now - limits.send_seconds + limits.linger_seconds
        elif self._head_since is not None:
            if now - self._head_since >= limits.head_seconds:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")
        elif self._body_since is not None:
            if self.flow.read_paused:
                self._body_since += limits.look_seconds
            elif now - self._body_since >= self._body_seconds():
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")

    def _body_seconds(self) -> float:
        return self._limits.body_seconds + self._body_size / self._limits.least_rate


def _push(cycle: RequestResponseCycle, data: bytes) -> bool:
    """Write a chunk of the body as `cycle.send` would, without a task that waits for its turn.
    False if there is no body in chunks yet, or the client is behind: that is to be waited for.
    """
    if not cycle.chunked_encoding or cycle.flow.write_paused or cycle.response_complete:
        return False
    if not cycle.disconnected:
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
    return True
