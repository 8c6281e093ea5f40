"""How much management work one process takes on at once, so that inference keeps its share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

from modelyard.api.asgi import App, Receive, Scope, Send
from modelyard.core.errors import Unavailable

LANE: Final = "lane"
"""The route option that holds a route's lane; a route without it is QUICK."""
PATIENCE: Final = 20.0
"""Seconds that a request waits for its turn."""


class Lane(StrEnum):
    """QUICK: database work. FILES: a child process reads a whole file. UPLOADS: bytes come in.
    STREAMS: answers without an end, which hold no thread. LOGINS: slow hashes of passwords.
    """

    QUICK = "quick"
    FILES = "files"
    UPLOADS = "uploads"
    STREAMS = "streams"
    LOGINS = "logins"


WIDTH: Final = {Lane.QUICK: 16, Lane.FILES: 2, Lane.UPLOADS: 8, Lane.STREAMS: 64, Lane.LOGINS: 2}
QUEUE: Final = 64
"""How many requests may wait in a lane; further ones are refused at once."""


class Lanes:
    """The turns of one application."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._turns = {lane: asyncio.Semaphore(width) for lane, width in WIDTH.items()}
        self._waiting = dict.fromkeys(WIDTH, 0)

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[None]:
        """Hold a place in the lane. Raises Unavailable when none comes free in time."""
        if self._waiting[lane] >= QUEUE:
            raise Unavailable("the server is busy with other requests", retry_after=2)
        self._waiting[lane] += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._turns[lane].acquire()
        except TimeoutError:
            raise Unavailable("the server is busy with other requests", retry_after=5) from None
        finally:
            self._waiting[lane] -= 1
        try:
            yield
        finally:
            self._turns[lane].release()


class Admission:
    """Lets each request wait for its route's lane."""

    def __init__(self, app: App, lanes: Lanes) -> None:
        self._app = app
        self._lanes = lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lanes.turn(scope["route_handler"].opt.get(LANE, Lane.QUICK)):
            await self._app(scope, receive, send)
