"""How far a key must reach for each route: declared with the route, checked here alone."""

from __future__ import annotations

from typing import Any, Final

from modelyard.api.asgi import App, Receive, Send
from modelyard.api.asgi import Scope as AsgiScope
from modelyard.api.authentication import require
from modelyard.core.access import Grant, Scope

NEEDS: Final = "needs"
"""The route option that holds the scope; a route without it needs `DEFAULT`."""
DEFAULT: Final = Scope.MANAGE


def needed(opt: dict[str, Any]) -> Scope:
    """The scope that a route's options ask for."""
    scope: Scope = opt.get(NEEDS, DEFAULT)
    return scope


class Authorization:
    """Refuses a grant that does not reach the route. Runs after routing, before all else."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        grant: Grant = scope["auth"]
        require(grant, needed(scope["route_handler"].opt))
        await self._app(scope, receive, send)
