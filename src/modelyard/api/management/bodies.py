"""Bodies come in whole, bounded in size and time, before anything is decided or waited for."""

from __future__ import annotations

import asyncio
from typing import Final

from modelyard.api.asgi import App, Message, Receive, Scope, Send, read_body
from modelyard.api.management.admission import LANE, Lane
from modelyard.core.errors import Invalid

MAX_BODY: Final = 1 << 20
MAX_SECONDS: Final = 30.0
BODY: Final = "modelyard.body"
"""Where the body is in the ASGI scope, for whoever needs it before the handler does."""


class WholeBody:
    """Reads the body of every request that may have one, but for uploads, which are streamed."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streamed = scope["route_handler"].opt.get(LANE) is Lane.UPLOADS
        if streamed or scope["method"] in ("GET", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(MAX_SECONDS):
                body = await read_body(scope["headers"], receive, MAX_BODY)
        except TimeoutError:
            raise Invalid(f"the body did not come within {MAX_SECONDS:g} seconds") from None
        scope[BODY] = body
        await self._app(scope, _replaying(body, receive), send)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then what comes after it (that the client went away)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
