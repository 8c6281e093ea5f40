"""`/api/v1/statements`: what others' calls to a tenant's deployments have earned."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.prices import text
from modelyard.api.management.problems import refusals
from modelyard.billing.quantity import whole
from modelyard.billing.rate import Unit
from modelyard.billing.statement import Earning
from modelyard.core.access import Permission


class StatementLine(msgspec.Struct, frozen=True):
    """What one customer was charged for one unit of one deployment. Exact, as text."""

    deployment: str
    customer_id: str
    unit: Unit | None
    quantity: str
    price_id: str
    amount: str


class Statement(msgspec.Struct, frozen=True):
    """A month's earnings, before tax, as the ledger has them now."""

    period_start: datetime
    period_end: datetime
    currency: str
    total: Annotated[str, Meta(examples=["12.34"])]
    lines: list[StatementLine]


@get("/", summary="Show a month's earnings", responses=refusals(), sync_to_thread=True)
def show_statement(
    services: Services,
    caller: Caller,
    month: Annotated[str, QueryParameter(max_length=20, description="Such as `2026-11`.")],
) -> Statement:
    """What others used of the tenant's deployments, in a month of its time zone."""
    statement = services.invoicing.statement(caller.tenant_id, month)
    return Statement(
        statement.period.start,
        statement.period.end,
        statement.currency,
        text(statement.total),
        [_line(earning) for earning in statement.earnings],
    )


def _line(earning: Earning) -> StatementLine:
    charge = earning.charge
    quantity = "" if charge.unit is None else text(whole(charge.unit, charge.quantity))
    return StatementLine(
        deployment=charge.deployment,
        customer_id=earning.customer_id,
        unit=charge.unit,
        quantity=quantity,
        price_id=charge.price_id,
        amount=text(charge.amount),
    )


statements: Final = Router(
    "/statements",
    route_handlers=[show_statement],
    tags=["billing"],
    opt=needs(Permission.BILLING_READ),
)
