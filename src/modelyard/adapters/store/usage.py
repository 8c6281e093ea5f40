"""The usage that one tenant is concerned in, added up."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, or_, select, true, tuple_

from modelyard.adapters.store.tables import usage_events
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.billing.export import Entry, Place
from modelyard.billing.usage import Side, UsageBy, UsageQuery, UsageSum
from modelyard.core.clock import microseconds
from modelyard.core.events import GONE, PredictionMade
from modelyard.core.metering import ANSWERED_BELOW, BROKEN_OFF_FROM

_EVENTS: Final = usage_events.c
_DAY: Final = 86_400_000_000
_GROUPS: Final[dict[UsageBy, ColumnElement[Any]]] = {
    UsageBy.DAY: _EVENTS.at // _DAY,
    UsageBy.KEY: _EVENTS.key_id,
    UsageBy.MODEL: _EVENTS.model,
    UsageBy.DEPLOYMENT: _EVENTS.deployment,
    UsageBy.TENANT: _EVENTS.tenant_id,
}
_FIRST_DAY: Final = date(1970, 1, 1)
_ENTRY: Final = tuple(_EVENTS[name] for name in PredictionMade.__struct_fields__)

# `core.metering.charged` in the database's words; a test of all statuses holds the two together.
ALL: Final = _EVENTS.status < ANSWERED_BELOW
PRODUCED: Final = or_(ALL, _EVENTS.status == GONE, _EVENTS.status >= BROKEN_OFF_FROM)


def total(column: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[Any]:
    """The sum of a column over the rows for which the condition holds."""
    return func.sum(case((condition, column), else_=0))


class SqlUsage(TenantRows):
    """The usage that one tenant is concerned in."""

    def sums(self, query: UsageQuery) -> list[UsageSum]:
        groups = [_GROUPS[by].label(f"group_{by.value}") for by in query.by]
        answered = case((ALL, 1), else_=0)
        statement = select(
            *groups,
            _EVENTS.price_id,
            func.sum(answered),
            func.sum(1 - answered),
            *(
                func.sum(column)
                for column in (_EVENTS.rows, _EVENTS.bytes_in, _EVENTS.bytes_out, _EVENTS.duration)
            ),
            total(case((_EVENTS.cached, 1), else_=0), true()),
            *(
                total(column, PRODUCED)
                for column in (
                    _EVENTS.prompt_tokens,
                    _EVENTS.cached_tokens,
                    _EVENTS.completion_tokens,
                    _EVENTS.compute,
                )
            ),
        ).where(self._concerned(query.side))
        if query.since is not None:
            statement = statement.where(_EVENTS.at >= microseconds(query.since))
        if query.until is not None:
            statement = statement.where(_EVENTS.at < microseconds(query.until))
        # A price that is missing sorts first in one database and last in the other.
        order = (*groups, func.coalesce(_EVENTS.price_id, ""))
        rows = self._connection.execute(
            statement.group_by(*groups, _EVENTS.price_id).order_by(*order)
        )
        return [_sum(query.by, row) for row in rows]

    def entries(self, side: Side, after: Place, until: int, limit: int) -> list[Entry]:
        statement = (
            select(*_ENTRY, _EVENTS.price_id)
            .where(self._concerned(side), tuple_(_EVENTS.at, _EVENTS.request_id) > after)
            .where(_EVENTS.at >= after[0], _EVENTS.at < until)
            .order_by(_EVENTS.at, _EVENTS.request_id)
            .limit(limit)
        )
        rows = self._connection.execute(statement)
        return [Entry(PredictionMade(*row[:-1]), row[-1]) for row in rows]

    def _concerned(self, side: Side) -> ColumnElement[bool]:
        own = self._own(usage_events)
        match side:
            case Side.USED:
                return own
            case Side.SERVED:
                served = and_(_EVENTS.owner_id == self._tenant_id, _EVENTS.owner_id != "")
                return or_(served, and_(own, _EVENTS.owner_id == ""))
            case Side.ALL:
                return true()


def _sum(by: tuple[UsageBy, ...], row: Any) -> UsageSum:
    names = tuple(_group_name(each, value) for each, value in zip(by, row, strict=False))
    price_id, *totals = row[len(by) :]
    return UsageSum(names, price_id, *(int(each) for each in totals))


def _group_name(by: UsageBy, value: Any) -> str:
    if by is UsageBy.DAY:
        return (_FIRST_DAY + timedelta(days=int(value))).isoformat()
    return str(value)
