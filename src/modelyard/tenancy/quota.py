"""A quota: how much a key, or all keys of a tenant together, may use.

A quota of a minute or of a moment is a limit: it bounds what is asked of the server. One of a day,
of a month or in all is a budget: it bounds what is billed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.money import parse_amount
from modelyard.core.quotas import PICO, Measure, Period, money

MAX_COUNT: Final = 10**15
MAX_MONEY: Final = 9_000_000
"""In the server's currency: what is counted in millionths of millionths must fit 63 bits."""
MAX_QUOTAS: Final = 4096
"""Of all tenants together: gateways share a table of fixed size."""

_MEASURES: Final[Mapping[Period, tuple[Measure, ...]]] = {
    Period.MOMENT: (Measure.CONCURRENCY,),
    Period.MINUTE: (Measure.REQUESTS, Measure.ROWS, Measure.TOKENS),
    **dict.fromkeys(
        (Period.DAY, Period.MONTH, Period.TOTAL),
        (Measure.REQUESTS, Measure.ROWS, Measure.TOKENS, Measure.MONEY),
    ),
}


class Quota(msgspec.Struct, frozen=True):
    """A quota. `key_id` is None for one of the whole tenant. With a `deployment` it bounds not the
    tenant's own keys but all who call this deployment of the tenant's, together or, if
    `each_caller`, each tenant by itself.

    `amount` is in the measure's unit. A budget that is `strict` is never overdrawn: what a request
    may come to is held back before it runs. Another lets requests in as long as anything is left.
    At `alert_at` percent of a budget there is an alert; 0 is none. One that is `imposed` is the
    operator's, and stands beside the tenant's own. `zone` is where its days and months begin.

    A budget is `opened` once it is known what was spent of its present period before it was set;
    from then on it is in force.
    """

    id: str
    tenant_id: str
    key_id: str | None
    measure: Measure
    period: Period
    amount: int
    strict: bool
    alert_at: int
    imposed: bool
    zone: str
    created_at: datetime
    updated_at: datetime
    opened: bool
    deployment: str = ""
    each_caller: bool = False


class AlertKind(StrEnum):
    """How far a budget is spent."""

    NEARLY = "nearly"
    SPENT = "spent"


class Alert(msgspec.Struct, frozen=True):
    """A budget has reached its alert or its end, in the period that began at `since`."""

    id: str
    tenant_id: str
    quota_id: str
    key_id: str | None
    kind: AlertKind
    measure: Measure
    period: Period
    amount: int
    spent: int
    since: datetime
    at: datetime


def check_pair(measure: Measure, period: Period) -> None:
    """Raises Invalid for a measure that is not counted over this period."""
    allowed = _MEASURES[period]
    if measure not in allowed:
        raise Invalid(
            f"{measure} is not counted per {period}; what is: " + ", ".join(sorted(allowed))
        )


def check_place(quota: Quota) -> None:
    """Raises Invalid for a quota of a deployment that is none of its callers'."""
    if not quota.deployment:
        if quota.each_caller:
            raise Invalid("'each_caller' is for a limit of a deployment")
        return
    if quota.key_id is not None:
        raise Invalid("a limit is of a key or of a deployment, not of both")
    if quota.period.is_budget:
        raise Invalid(
            "a deployment's callers can be limited per minute and at once; budgets are of those "
            "who pay"
        )


def read_amount(measure: Measure, text: str) -> int:
    """An amount in the measure's unit. Raises Invalid."""
    amount = parse_amount(text)
    if measure is Measure.MONEY:
        if amount > MAX_MONEY:
            raise Invalid(f"a budget of money is at most {MAX_MONEY}")
        return int(amount * PICO)
    if amount != int(amount) or amount > MAX_COUNT:
        raise Invalid(f"an amount of {measure} is a whole number of at most {MAX_COUNT}")
    return int(amount)


def told_amount(measure: Measure, amount: int) -> Decimal:
    """An amount as people read it."""
    return money(amount) if measure is Measure.MONEY else Decimal(amount)
