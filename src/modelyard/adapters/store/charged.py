"""What one tenant is charged for, or earns by."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, select

from modelyard.adapters.store.tables import platform_usage, usage_events
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.adapters.store.usage import ALL, PRODUCED, total
from modelyard.billing.charge import Used
from modelyard.billing.period import Period
from modelyard.billing.quantity import by_unit
from modelyard.billing.rate import Unit
from modelyard.core.clock import from_microseconds, microseconds
from modelyard.core.metering import Quantities

_EVENTS: Final = usage_events.c
_PLATFORM: Final = platform_usage.c
_SUMS: Final = (
    func.sum(case((ALL, 1), else_=0)),
    total(_EVENTS.rows, ALL),
    total(_EVENTS.prompt_tokens - _EVENTS.cached_tokens, PRODUCED),
    total(_EVENTS.cached_tokens, PRODUCED),
    total(_EVENTS.completion_tokens, PRODUCED),
    total(_EVENTS.compute, PRODUCED),
)


class SqlCharged(TenantRows):
    """What the ledger holds that one tenant is charged for, or earns by."""

    def first(self, since: datetime) -> datetime | None:
        moments = []
        for at, price_id, of_it, charged in (
            (_EVENTS.at, _EVENTS.price_id, self._own(usage_events), PRODUCED),
            (_PLATFORM.at, _PLATFORM.price_id, self._own(platform_usage), _PLATFORM.quantity > 0),
        ):
            statement = select(at).where(of_it, at >= microseconds(since), charged)
            statement = statement.where(price_id.is_not(None)).order_by(at).limit(1)
            moments.append(self._connection.execute(statement).scalar_one_or_none())
        found = [moment for moment in moments if moment is not None]
        return from_microseconds(min(found)) if found else None

    def used(self, period: Period) -> list[Used]:
        own = self._own(usage_events)
        return [*self._requests(own, period), *self._of_platform(period)]

    def sold(self, period: Period) -> list[Used]:
        # A tenant's own calls have no owner in the ledger.
        by_others = (_EVENTS.owner_id == self._tenant_id) & (_EVENTS.owner_id != "")
        return self._requests(by_others, period)

    def count_before(self, moment: datetime) -> int:
        count = 0
        for table in (usage_events, platform_usage):
            statement = select(func.count()).select_from(table).where(self._own(table))
            statement = statement.where(table.c.at < microseconds(moment))
            count += self._connection.execute(statement).scalar_one()
        return count

    def _requests(self, whose: ColumnElement[bool], period: Period) -> list[Used]:
        key = (_EVENTS.tenant_id, _EVENTS.owner_id, _EVENTS.deployment, _EVENTS.price_id)
        statement = (
            select(*key, *_SUMS)
            .where(whose, _within(_EVENTS.at, period), _EVENTS.price_id.is_not(None))
            .group_by(*key)
        )
        return [
            Used(*row[:4], by_unit(Quantities(*(int(each) for each in row[4:]))))
            for row in self._connection.execute(statement)
        ]

    def _of_platform(self, period: Period) -> list[Used]:
        statement = (
            select(_PLATFORM.price_id, _PLATFORM.unit, func.sum(_PLATFORM.quantity))
            .where(self._own(platform_usage), _within(_PLATFORM.at, period))
            .where(_PLATFORM.price_id.is_not(None))
            .group_by(_PLATFORM.price_id, _PLATFORM.unit)
        )
        found: defaultdict[str, dict[Unit, int]] = defaultdict(dict)
        for price_id, unit, quantity in self._connection.execute(statement):
            found[price_id][unit] = int(quantity)
        return [Used(self._tenant_id, "", "", key, units) for key, units in sorted(found.items())]


def _within(at: Any, period: Period) -> ColumnElement[bool]:
    return and_(at >= microseconds(period.start), at < microseconds(period.end))
