"""An ASGI app that is made when it is first asked.

A gateway that only predicts never imports what management needs, and one that starts answers
predictions the sooner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from modelyard.api.asgi import App, Receive, Scope, Send, respond
from modelyard.api.statuses import PROBLEM_JSON, headers_of, problem, status_of
from modelyard.core.errors import Unavailable

PATIENCE: Final = 10.0
"""Seconds that a request waits for the app to be made."""


class DeferredApp:
    """Lives on one event loop. `make` is called on a thread; if it fails, by the next request
    again.
    """

    def __init__(self, make: Callable[[], App], *, patience: float = PATIENCE) -> None:
        self._make = make
        self._patience = patience
        self._making: asyncio.Task[App] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the app, or with 503 if it is not there in time."""
        if self._making is None or _failed(self._making):
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        if not self._making.done():
            await asyncio.wait([self._making], timeout=self._patience)
        if self._making.done():
            await self._making.result()(scope, receive, send)
            return
        error = Unavailable("the management API is starting", retry_after=1)
        body = msgspec.json.encode(problem(error))
        await respond(send, status_of(error), body, PROBLEM_JSON, headers_of(error))


def _failed(making: asyncio.Task[App]) -> bool:
    return making.done() and (making.cancelled() or making.exception() is not None)
