"""The requests of one connection that wait for their answers, which leave in the same order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol, cast

import msgspec
from uvicorn.server import ServerState

from modelyard.api.capacity import Capacity, Holding
from modelyard.api.http import HeaderList, Headers, HttpRequest, HttpResponse
from modelyard.serving.exchange import Exchange

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


class Door(Protocol):
    """Who answers."""

    def answer(self, request: HttpRequest, done: Callable[[HttpResponse], None]) -> Exchange | None:
        """Call `done` with the response, now or later; what is returned can be abandoned."""
        ...

    def turn_away(self, headers: Headers, peer: str) -> HttpResponse | None:
        """The response to a request whose body is not worth reading; None for a good one."""
        ...


class Pending(msgspec.Struct):
    """A whole request whose turn has not come, or whose answer is not there yet.

    One that could not be read has its response from the start, and no request. `holding` counts
    its body for as long as it is here, unless it is answered at once.
    """

    request: HttpRequest | None
    response: HttpResponse | None
    keep_alive: bool
    begun: bool = False
    exchange: Exchange | None = None
    holding: Holding | None = None


class Pipeline:
    """Has one request answered at a time.

    `stopped` calls off the next: while the client reads no answers. Once `closed`, nothing more is
    written. `answered` is told of every answer after which there is nothing more to do here, and
    whether the connection is kept.
    """

    def __init__(
        self,
        door: Door,
        transport: asyncio.WriteTransport,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop,
        capacity: Capacity,
        *,
        answered: Callable[[bool], None],
        moved: Callable[[], None],
    ) -> None:
        self._capacity = capacity
        self._door = door
        self._transport = transport
        self._server_state = server_state
        self._loop = loop
        self._answered = answered
        self._moved = moved
        self._default_headers: HeaderList = []
        self._default_lines = b""
        self._pending: deque[Pending] = deque()
        self.stopped = False
        self.closed = False

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def held(self) -> int:
        """How many bytes of bodies wait here."""
        return sum(each.holding.size for each in self._pending if each.holding is not None)

    def add(self, pending: Pending) -> None:
        """Answer it when its turn has come."""
        self._pending.append(pending)
        if len(self._pending) == 1 and not self.stopped:
            self._answer(pending)
        else:
            self._hold(pending)

    def go_on(self) -> None:
        """Answer the next, soon: not from within this call, lest a long pipeline become a deep
        stack.
        """
        self._loop.call_soon(self._answer_next)

    def end_with_the_last(self) -> None:
        """The connection is not kept after what has come so far."""
        self._pending[-1].keep_alive = False

    def abandon(self) -> None:
        """The client has gone: nothing of this is wanted any more."""
        self.closed = True
        for pending in self._pending:
            if pending.exchange is not None:
                pending.exchange.abandon()
            if pending.holding is not None:
                pending.holding.release()
        self._pending.clear()

    def _hold(self, pending: Pending) -> None:
        """It stays for a while: from now on its body counts, as large as it is unpacked."""
        if pending.request is not None:
            if pending.holding is None:
                pending.holding = self._capacity.hold()
            pending.holding.cover(len(pending.request.body))

    def _answer(self, pending: Pending) -> None:
        pending.begun = True
        if pending.request is None:
            self._respond(pending, cast(HttpResponse, pending.response))
            return

        pending.exchange = exchange = self._door.answer(
            pending.request, partial(self._respond, pending)
        )
        # One that has its answer waits for no more than the journal's next write.
        if exchange is not None and exchange.waits:
            self._hold(pending)

    def _respond(self, pending: Pending, response: HttpResponse) -> None:
        if self.closed:
            return
        self._transport.write(self._encode(pending, response))
        self._pending.popleft()
        pending.exchange = None
        if pending.holding is not None:
            pending.holding.release()
        if pending.keep_alive and self._pending:
            self.go_on()
        else:
            self._answered(pending.keep_alive)

    def _answer_next(self) -> None:
        if self._pending and not self.stopped and not self.closed:
            self._moved()
            if not self._pending[0].begun:
                self._answer(self._pending[0])

    def _encode(self, pending: Pending, response: HttpResponse) -> bytes:
        """The response's bytes."""
        lines = [_line(header) for header in response.headers]
        if not pending.keep_alive:
            lines.append(b"connection: close\r\n")
        elif pending.request is not None and b"connection" in pending.request.headers:
            # HTTP/1.0 closes unless it is told otherwise.
            lines.append(b"connection: keep-alive\r\n")
        return b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b%b\r\n%b" % (
            _STATUS_LINES[response.status],
            response.content_type,
            len(response.body),
            self._lines_of_all(),
            b"".join(lines),
            response.body,
        )

    def _lines_of_all(self) -> bytes:
        """What every response says: the date. uvicorn renews the list once a second."""
        headers = self._server_state.default_headers
        if headers is not self._default_headers:
            self._default_headers = headers
            self._default_lines = b"".join(_line(header) for header in headers)
        return self._default_lines


def _line(header: tuple[bytes, bytes]) -> bytes:
    return b"%b: %b\r\n" % header
