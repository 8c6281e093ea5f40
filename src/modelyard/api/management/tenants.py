"""`/api/v1/tenants`: who owns models, holds keys and pays bills."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.core.access import Permission
from modelyard.core.pages import Page
from modelyard.tenancy.tenant import Tenant


class NewTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant to open."""

    name: Annotated[
        str,
        Meta(
            max_length=200,
            description="1 to 63 of a-z, 0-9, '.', '_' and '-'. It cannot be changed.",
            examples=["acme"],
        ),
    ]


@get("/", summary="List tenants", responses=refusals(), opt=needs(None), sync_to_thread=True)
def list_tenants(services: Services, caller: Caller, page: Paging) -> Page[Tenant]:
    """The operator sees all of them, oldest first, everybody else their own."""
    return services.tenancy.tenants(caller, page)


@post(
    "/",
    summary="Open a tenant",
    responses=refusals(409, 413, 415, 422),
    operation_class=Idempotent,
    opt=needs(Permission.OPERATE),
    sync_to_thread=True,
)
def open_tenant(services: Services, data: JSONBody[NewTenant]) -> Tenant:
    """For the operator, who then makes its first key with `X-Modelyard-Tenant`."""
    return services.tenancy.open_tenant(data.name)


@get(
    "/{name:str}",
    summary="Show a tenant",
    responses=refusals(404),
    opt=needs(None),
    sync_to_thread=True,
)
def show_tenant(services: Services, caller: Caller, name: Name) -> Tenant:
    """The operator may see any, everybody else their own."""
    return services.tenancy.tenant(caller, name)


tenants: Final = Router(
    "/tenants", route_handlers=[list_tenants, open_tenant, show_tenant], tags=["tenants"]
)
