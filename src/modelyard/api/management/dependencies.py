"""What every handler may ask for besides its own parameters."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation

from modelyard.api.management.services import ManagementServices
from modelyard.core.access import Grant, Visitor
from modelyard.core.errors import Invalid
from modelyard.core.pages import MAX_PAGE, PageRequest

Services = NamedDependency[SkipValidation[ManagementServices]]
"""`services`: the use cases."""
Caller = NamedDependency[SkipValidation[Grant]]
"""`caller`: whose request it is. Everything is done in its tenant."""
Visiting = NamedDependency[SkipValidation[Visitor]]
"""`visitor`: who asks where no key is needed."""
Paging = NamedDependency[SkipValidation[PageRequest]]
"""`page`: which page of a list, from `limit` and `cursor`."""


def provided(services: ManagementServices) -> dict[str, Provide]:
    """The dependencies by the names that handlers give them."""
    return {
        "services": Provide(lambda: services, sync_to_thread=False),
        "caller": Provide(_caller, sync_to_thread=False),
        "visitor": Provide(_visitor, sync_to_thread=False),
        "page": Provide(_page, sync_to_thread=False),
    }


def _caller(request: Request[Any, Any, Any]) -> Grant:
    grant: Grant = request.auth
    return grant


def _visitor(request: Request[Any, Any, Any]) -> Visitor:
    return request.auth if isinstance(request.auth, Visitor) else Visitor()


def _page(
    limit: Annotated[
        int, QueryParameter(ge=1, le=MAX_PAGE, description="The most items to return.")
    ] = 50,
    cursor: Annotated[
        str | None,
        QueryParameter(max_length=1024, description="`next_cursor` of the page before."),
    ] = None,
) -> PageRequest:
    page = PageRequest.parse(limit, cursor or None)
    if page.after is not None and "\0" in page.after:
        raise Invalid("cursor is not one that this server gave out")
    return page
