"""What a caller must be allowed for each route: declared with the route, checked here alone."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from modelyard.api.asgi import App, Receive, Send
from modelyard.api.asgi import Scope as AsgiScope
from modelyard.api.authentication import TENANT_HEADER
from modelyard.core.access import Grant, Permission, Visitor, require
from modelyard.core.errors import Invalid, Unauthenticated
from modelyard.tenancy.service import TenancyService

VISITORS: Final = "visitors"
"""The route option that lets in who has no key, made by `visitors`."""
NEEDS: Final = "needs"
"""The route option that holds what is needed, made by `needs`."""

Needs = tuple[Permission | None, Permission | None]
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_UNDECLARED: Final[Needs] = (Permission.OPERATE, Permission.OPERATE)


def needs(read: Permission | None, write: Permission | None = None) -> dict[str, Needs]:
    """The option of a route, or of all routes of a noun: what reading needs and what any other
    method does; None lets in every key. Without `write`, both need the same.
    """
    return {NEEDS: (read, write or read)}


def visitors() -> dict[str, Any]:
    """The option of a route that needs no key."""
    return {VISITORS: True, **needs(None)}


def needed(opt: dict[str, Any], method: str) -> Permission | None:
    """What a route's options ask for. A route that declares nothing is the operator's alone."""
    declared: Needs = opt.get(NEEDS, _UNDECLARED)
    return declared[method not in _READING]


class Authorization:
    """Refuses a grant that does not reach the route. Runs after routing, before all else.

    From here on the grant in the ASGI scope is in the tenant that the request names.
    """

    def __init__(self, app: App, tenancy: TenancyService) -> None:
        self._app = app
        self._tenancy = tenancy

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        grant: Grant | Visitor = scope["auth"]
        if isinstance(grant, Visitor):
            if not scope["route_handler"].opt.get(VISITORS):
                raise Unauthenticated("a key is required: send 'Authorization: Bearer my_...'")
            await self._app(scope, receive, send)
            return
        named = [value for name, value in scope["headers"] if name == TENANT_HEADER]
        if named:
            scope["auth"] = grant = await asyncio.to_thread(self._acting, grant, named)
        needs = needed(scope["route_handler"].opt, scope["method"])
        if needs is not None:
            require(grant, needs)
        await self._app(scope, receive, send)

    def _acting(self, grant: Grant, named: list[bytes]) -> Grant:
        if len(named) > 1:
            raise Invalid("X-Modelyard-Tenant names one tenant")
        return self._tenancy.act(grant, named[0].decode("latin-1"))
