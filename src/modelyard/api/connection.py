"""One HTTP/1.1 connection to the gateway, for as long as it speaks to the data plane.

uvicorn runs the process and takes this class for its protocol. Requests to the data plane are
parsed (`request_reader`) and answered (`pipeline`) right here: no scope, no task, no queue of
messages. At the first request to anything else the connection is handed on to uvicorn's own
protocol, and stays there. Here are also the limits that uvicorn lacks: bytes and number of
headers, size of the body, and the time that a client may take over either.

A client that closes its side has gone: what it waits for is given up (RFC 9112, section 9.6,
leaves that to the server).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from modelyard.api.asgi_connection import AsgiConnection
from modelyard.api.capacity import Capacity, Holding, no_room
from modelyard.api.http import Headers, HttpRequest, HttpResponse
from modelyard.api.inference.failures import refusal
from modelyard.api.known_heads import KnownHeads
from modelyard.api.large_body import BodyReceiver, take_over
from modelyard.api.limits import ConnectionLimits
from modelyard.api.pipeline import Door, Pending, Pipeline
from modelyard.api.request_reader import OURS, Refused, RequestReader, head_too_large
from modelyard.core.errors import Unavailable


class Connection(asyncio.Protocol):
    """A connection in its own hands; `uvicorn` makes it by the last four arguments.

    `_begun` holds the first bytes of a request that is not known to be ours; once `_foreign`, it
    is known not to be. Once `_deaf`, nothing more is read. `_asked` is set while a client waits
    to be told to send its body. `_holding` counts a body that comes in more than one part.
    """

    _deadline: float
    _peer: str

    def __init__(
        self,
        door: Door,
        limits: ConnectionLimits,
        heads: KnownHeads,
        capacity: Capacity,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._door = door
        self._limits = limits
        self._heads = heads
        self._capacity = capacity
        self._holding: Holding | None = None
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._reader = RequestReader(self, limits, heads)
        self._deaf = self._draining = self._lingers = False
        self._choked = self._full = self._foreign = self._asked = False
        self._begun = b""

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._pipeline = Pipeline(
            self._door,
            self._transport,
            self._server_state,
            self._loop,
            self._capacity,
            answered=self._answered,
            moved=self._flow,
        )
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._wait(self._limits.head_seconds)
        self._timer = self._loop.call_later(self._limits.look_seconds, self._look)
        self._take_a_seat()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._server_state.connections.discard(self)
        self._deaf = True
        self._seat.leave()
        self._let_go()
        self._pipeline.abandon()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        reader, head, end = self._reader, None, 0
        if reader.between:
            if self._begun:
                data = self._begun + data
            head, end = self._heads.find(data)
            if head is not None and len(data) - end == head.announced:
                self._begun = b""
                self.request_read(head.request(data[end:]), keep_alive=True)
                return
            if head is None and not data.startswith(OURS):
                self._begin(data)
                return
            self._begun = b""
        rest = b""
        try:
            if head is not None:
                reader.begin(head, memoryview(data)[end:])
            else:
                rest = reader.feed(data)
            if not reader.between and not self._deaf:
                self._in_parts(len(data))
        except Refused as refused:
            self._refuse(refused.response)
        if rest:
            self.data_received(rest)

    def pause_writing(self) -> None:
        self._choked = self._pipeline.stopped = True
        self._wait(self._limits.send_seconds)
        self._flow()

    def resume_writing(self) -> None:
        self._choked = self._pipeline.stopped = False
        self._wait(self._limits.idle_seconds)
        self._flow()
        self._pipeline.go_on()

    # uvicorn's side

    def shutdown(self) -> None:
        """Close as soon as nothing is being answered."""
        self._draining = True
        if self._begun or not self._reader.between:
            if self._begun or self._reader.heading:
                soon = self._loop.time() + self._limits.drain_seconds
                self._deadline = min(self._deadline, soon)
            return
        if self._pipeline:
            self._deaf = True
            self._pipeline.end_with_the_last()
        else:
            self._close()

    # The reader's side

    def head_read(self, headers: Headers, announced: int, *, large: bool) -> None:
        """See to room for the body, and to the key before one that may be large is read; ask for it
        where the client waits for that.
        """
        if announced > self._capacity.left:
            raise Refused.with_response(refusal(no_room()))
        if large and (refused := self._door.turn_away(headers, self._peer)) is not None:
            raise Refused.with_response(refused)
        if large:
            self._holding = self._capacity.hold()
            self._holding.cover(announced)
        if (
            b"expect" in headers
            and headers[b"expect"].lower() == b"100-continue"
            and self._reader.version == "1.1"
        ):
            self._asked = True
            if not self._pipeline:
                self._ask_for_the_body()
        self._wait(self._limits.body_seconds)

    def request_read(self, request: HttpRequest, *, keep_alive: bool) -> None:
        """Have it answered in its turn."""
        self._asked = False
        if self._deaf:
            return
        request.peer = self._peer
        holding, self._holding = self._holding, None
        if holding is None and len(request.body) > self._capacity.left:
            self._refuse(refusal(no_room()))
            return
        keep_alive = keep_alive and not self._draining
        self._deaf = not keep_alive
        self._enqueue(Pending(request, None, keep_alive=keep_alive, holding=holding))

    def body_received(self) -> None:
        """A large body is whole."""
        take_over(self._transport, self)
        self._full = False
        self._flow()
        self._reader.large_body_received()

    # A request that comes

    def _begin(self, data: bytes) -> None:
        """Not one of ours, or too little of it to tell: wait for the whole of its head, which
        uvicorn would wait for without an end.
        """
        whole = b"\r\n\r\n" in data or b"\n\n" in data or not data[:1].isalpha()
        if not whole and len(data) > self._limits.max_head:
            self._refuse(head_too_large(self._limits).response)
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
        heir = AsgiConnection(
            self._limits,
            self._seat,
            config=self._config,
            server_state=self._server_state,
            app_state=self._app_state,
            _loop=self._loop,
        )
        self._deaf = self._pipeline.closed = True
        take_over(self._transport, heir)
        heir.connection_made(self._transport)
        heir.data_received(data)
        if self._draining:
            heir.shutdown()

    def _in_parts(self, size: int) -> None:
        """The request is not whole yet."""
        reader = self._reader
        if self._holding is not None:
            try:
                # A body in chunks has not said how large it is.
                self._holding.grow_to(reader.size)
            except Unavailable as error:
                raise Refused.with_response(refusal(error)) from None
        if reader.came_in_parts(size) and reader.heading:
            self._wait(self._limits.head_seconds)
        elif reader.large is not None:
            take_over(self._transport, BodyReceiver(self, reader.large))

    def _ask_for_the_body(self) -> None:
        self._asked = False
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_a_seat(self) -> None:
        """Be counted, or be told that there is no room."""
        peer = self._transport.get_extra_info("peername")
        self._peer = address = peer[0] if peer else ""
        self._seat = self._capacity.enter(address)
        refused = self._capacity.refusal(address)
        if refused is None:
            return
        if self._capacity.flooded:
            self._transport.abort()
        else:
            self._refuse(refused)

    def _let_go(self) -> None:
        if self._holding is not None:
            self._holding.release()
            self._holding = None

    def _refuse(self, response: HttpResponse) -> None:
        """Answer, in turn, what cannot be read any further; then close."""
        self._let_go()
        if not self._deaf:
            self._deaf = self._lingers = True
            self._enqueue(Pending(None, response, keep_alive=False))

    def _enqueue(self, pending: Pending) -> None:
        self._pipeline.add(pending)
        if len(self._pipeline) > 1:
            self._flow()

    # Its answer

    def _answered(self, keep_alive: bool) -> None:
        """All that came is answered, or what was to be the last."""
        if not keep_alive:
            self._close()
        elif self._foreign:
            self._hand_on(self._begun)
        else:
            self._wait(self._limits.idle_seconds)
            if self._asked:
                self._ask_for_the_body()

    # Flow and time

    def _flow(self) -> None:
        """Read on, unless the client is ahead of its answers."""
        full = self._choked or self._foreign or self._ahead()
        if full != self._full and not self._pipeline.closed:
            self._full = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _ahead(self) -> bool:
        # One alone may be as large as it likes: to stop reading would be not to see its client go.
        waiting, limits = len(self._pipeline), self._limits
        return waiting > 1 and (
            waiting >= limits.max_pipeline or self._pipeline.held >= limits.max_ahead
        )

    def _wait(self, seconds: float) -> None:
        """Give the client so long for what comes next. Cheap: the timer is not moved for it."""
        self._deadline = self._loop.time() + seconds

    def _look(self) -> None:
        """Now and then, see whether the client is too slow."""
        reader, turn = self._reader, self._choked or not self._pipeline
        late = self._deadline + reader.received / self._limits.least_rate
        if turn and self._loop.time() >= late:
            self._too_slow()
        else:
            self._timer = self._loop.call_later(self._limits.look_seconds, self._look)

    def _too_slow(self) -> None:
        if self._choked or (self._reader.between and not self._begun):
            self._close()
        else:
            late = Refused(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")
            self._refuse(late.response)

    def _close(self) -> None:
        """Close once what has been written is sent, if it is taken in time."""
        limits = self._limits
        self._deaf = self._pipeline.closed = True
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
