"""`/api/v1/quotas`: limits and budgets, and what was told of budgets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Router, delete, get, put
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.problems import refusals
from modelyard.core.access import Permission
from modelyard.core.pages import Page
from modelyard.core.quotas import Measure, Period
from modelyard.tenancy import quota as entity
from modelyard.tenancy.quota import AlertKind, told_amount


class NewQuota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a key, or all keys of the tenant together, may use."""

    measure: Annotated[Measure, Meta(description="What is counted.", examples=["requests"])]
    period: Annotated[
        Period,
        Meta(
            description="`moment` of concurrency; `minute` for a limit; `day`, `month` or `total` "
            "for a budget.",
            examples=["minute"],
        ),
    ]
    amount: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=40,
            description="Exact, as text; of money in the server's currency.",
            examples=["600"],
        ),
    ]
    key_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(description="Null for all keys of the tenant together."),
    ] = None
    deployment: Annotated[
        str,
        Meta(
            max_length=63,
            description="A deployment of the tenant's whose callers are bounded, in the place of "
            "the tenant's own keys: those of all tenants together, per minute or at once.",
        ),
    ] = ""
    each_caller: Annotated[
        bool, Meta(description="Of a deployment: each calling tenant by itself.")
    ] = False
    strict: Annotated[
        bool,
        Meta(
            description="Of a budget: hold back before a request runs what it may come to, so "
            "that nothing is overdrawn. Else requests begin as long as anything is left."
        ),
    ] = True
    alert_at: Annotated[
        int,
        Meta(ge=0, le=100, description="Of a budget: percent at which to alert; 0 for none."),
    ] = 0


class Quota(msgspec.Struct, frozen=True):
    """A quota and its present use. `used` is null until it is in force, and of one that each
    caller has for itself.

    `held` is what requests under way may come to, of what is held back for them. `since` is when
    the budget's present period began. `imposed` quotas are the operator's.
    """

    id: str
    key_id: str | None
    deployment: str
    each_caller: bool
    measure: Measure
    period: Period
    amount: str
    strict: bool
    alert_at: int
    imposed: bool
    zone: str
    used: str | None
    held: str | None
    created_at: datetime
    updated_at: datetime


class Alert(msgspec.Struct, frozen=True):
    """A budget has reached its alert (`nearly`) or its end (`spent`), in a period of its own."""

    id: str
    quota_id: str
    key_id: str | None
    kind: AlertKind
    measure: Measure
    period: Period
    amount: str
    spent: str
    since: datetime
    at: datetime


@get("/", summary="List quotas", responses=refusals(), sync_to_thread=True)
def list_quotas(services: Services, caller: Caller, page: Paging) -> Page[Quota]:
    """The tenant's limits and budgets with their present use, newest first."""
    quotas = services.quotas.list(caller.tenant_id, page)
    return quotas.map(lambda quota: _shown(services, quota))


@put("/", summary="Set a quota", responses=refusals(404, 409, 413, 415), sync_to_thread=True)
def put_quota(services: Services, caller: Caller, data: JSONBody[NewQuota]) -> Quota:
    """In force within a second, in place of the one of the same key or deployment, measure and
    period.

    What the operator sets is imposed: it stands beside what the tenant sets for itself.
    """
    quota = services.quotas.put(
        caller.tenant_id,
        data.key_id,
        data.measure,
        data.period,
        data.amount,
        strict=data.strict,
        alert_at=data.alert_at,
        imposed=Permission.OPERATE in caller.permissions,
        deployment=data.deployment,
        each_caller=data.each_caller,
    )
    return _shown(services, quota)


@get("/alerts", summary="List alerts of budgets", responses=refusals(), sync_to_thread=True)
def list_alerts(services: Services, caller: Caller, page: Paging) -> Page[Alert]:
    """What was told of the tenant's budgets, newest first: once for each period."""
    return services.quotas.alerts(caller.tenant_id, page).map(_shown_alert)


@get("/{quota_id:str}", summary="Show a quota", responses=refusals(404), sync_to_thread=True)
def show_quota(services: Services, caller: Caller, quota_id: Name) -> Quota:
    """A quota and its present use."""
    return _shown(services, services.quotas.get(caller.tenant_id, quota_id))


@delete("/{quota_id:str}", summary="Remove a quota", responses=refusals(404), sync_to_thread=True)
def remove_quota(services: Services, caller: Caller, quota_id: Name) -> None:
    """Out of force within a second. One that is imposed can be removed by the operator alone."""
    operator = Permission.OPERATE in caller.permissions
    services.quotas.remove(caller.tenant_id, quota_id, operator=operator)


def _shown(services: Services, quota: entity.Quota) -> Quota:
    use = services.use(quota.id)
    return Quota(
        id=quota.id,
        key_id=quota.key_id,
        deployment=quota.deployment,
        each_caller=quota.each_caller,
        measure=quota.measure,
        period=quota.period,
        amount=_amount(quota.measure, quota.amount),
        strict=quota.strict,
        alert_at=quota.alert_at,
        imposed=quota.imposed,
        zone=quota.zone,
        used=None if use is None else _amount(quota.measure, use.used),
        held=None if use is None else _amount(quota.measure, use.held),
        created_at=quota.created_at,
        updated_at=quota.updated_at,
    )


def _shown_alert(alert: entity.Alert) -> Alert:
    return Alert(
        id=alert.id,
        quota_id=alert.quota_id,
        key_id=alert.key_id,
        kind=alert.kind,
        measure=alert.measure,
        period=alert.period,
        amount=_amount(alert.measure, alert.amount),
        spent=_amount(alert.measure, alert.spent),
        since=alert.since,
        at=alert.at,
    )


def _amount(measure: Measure, amount: int) -> str:
    return format(told_amount(measure, amount), "f")


quotas: Final = Router(
    "/quotas",
    route_handlers=[list_quotas, put_quota, list_alerts, show_quota, remove_quota],
    tags=["quotas"],
    opt=needs(Permission.QUOTAS_READ, Permission.QUOTAS_WRITE),
)
