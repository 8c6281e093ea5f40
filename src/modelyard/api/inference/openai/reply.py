"""What goes out to one client: written by callbacks, and sent by one coroutine over ASGI, or pushed
past it where nothing waits.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from modelyard.api.asgi import Push, Send
from modelyard.api.http import HeaderList

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream; charset=utf-8"


class Reply:
    """A response that grows. `written` counts its bytes. Lives on one event loop."""

    def __init__(self, request_id: str, push: Push) -> None:
        self._push = push
        self._headers: HeaderList = [(b"x-request-id", request_id.encode())]
        self._status = HTTPStatus.OK
        self._parts: list[bytes] = []
        self._over = self._all_sent = False
        self._wake = asyncio.Event()
        self.begun = False
        self.written = 0

    def header(self, name: bytes, value: bytes) -> None:
        """Add a header, before it begins."""
        self._headers.append((name, value))

    def begin(self, content_type: bytes, status: int = HTTPStatus.OK) -> None:
        """Decide what it is; once."""
        self.begun = True
        self._status = HTTPStatus(status)
        self._headers.append((b"content-type", content_type))
        if content_type is EVENTS:
            # Proxies must not collect a stream before they pass it on.
            self._headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]

    def whole(self, body: bytes, status: int = HTTPStatus.OK, headers: HeaderList = []) -> None:  # noqa: B006 - never changed
        """All of it at once."""
        self.begin(JSON, status)
        self._headers += [(b"content-length", b"%d" % len(body)), *headers]
        self.write(body)
        self.end()

    def write(self, data: bytes) -> None:
        """More of it, if it is anything: an empty chunk would be the end of a body."""
        if not data:
            return
        self.written += len(data)
        if self._all_sent and self._push(data):
            return
        self._all_sent = False
        self._parts.append(data)
        self._wake.set()

    def end(self) -> None:
        """That was all."""
        self._over = True
        self._wake.set()

    async def send(self, send: Send) -> None:
        """Send it as it grows, to its end."""
        await self._wake.wait()
        if self.begun:
            start = {"status": self._status.value, "headers": self._headers}
            await send({"type": "http.response.start", **start})
        while True:
            self._wake.clear()
            body, self._parts = b"".join(self._parts), []
            over = self._over
            if self.begun:
                await send({"type": "http.response.body", "body": body, "more_body": not over})
            if over:
                return
            if not self._parts and not self._over:
                self._all_sent = self.begun
                await self._wake.wait()
                self._all_sent = False
