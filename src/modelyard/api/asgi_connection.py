"""A connection that does not speak to the data plane: uvicorn's, with bounds on what a stranger
may send before being answered.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's target and headers, each header with a few more for what it costs here."""
HEADER_COST: Final = 32
HEAD_SECONDS: Final = 20.0
"""How long the head of a request may take to come; at most twice as long until it is noticed."""

_TOO_LARGE: Final = "The request's head is too large."


class HeadTooLarge(Exception):
    """Ends the parsing of a head that is over its bound."""


class AsgiConnection(HttpToolsProtocol):
    """Refuses heads that are too large, closes on those that do not come, and answers a client
    that closes its side once it has sent its request whole.
    """

    head_seconds = HEAD_SECONDS
    _head_size = 0
    _head_since: float | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(self.head_seconds, self._look_at_head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        began = self._head_since
        super().data_received(data)
        # A head that goes on is counted by what has come, for the parser keeps it all.
        same = began is not None and began is self._head_since
        if same and not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self.send_400_response(_TOO_LARGE)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """True keeps our side open, for the answer to a request that has come whole."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_since = self.loop.time()
        self._head_size = 0

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        if self._head_size > MAX_HEAD:
            # The parser turns it into an error of its own, which is answered with 400.
            raise HeadTooLarge
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Once a header: no call more than need be.
        self._head_size += len(name) + len(value) + HEADER_COST
        if self._head_size > MAX_HEAD:
            raise HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_since = None
        self._head_size = 0
        super().on_headers_complete()

    def _look_at_head(self) -> None:
        since = self._head_since
        if since is not None and self.loop.time() - since >= self.head_seconds:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(self.head_seconds, self._look_at_head)
