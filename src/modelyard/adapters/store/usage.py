"""The usage of one tenant, added up; and the ledger into which all usage goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, Connection, Dialect, case, func, select, tuple_

from modelyard.adapters.store.prices import PRICE, price_of
from modelyard.adapters.store.schema import journal_offsets, prices, usage_events
from modelyard.adapters.store.tenant_rows import TenantRows, upsert
from modelyard.billing.price import Price, PriceHistory
from modelyard.billing.usage import UsageBy, UsageQuery, UsageSum
from modelyard.core.clock import microseconds
from modelyard.core.events import GONE, PredictionMade

_DAY: Final = 86_400_000_000
_GROUPS: Final[dict[UsageBy, ColumnElement[Any]]] = {
    UsageBy.DAY: usage_events.c.at // _DAY,
    UsageBy.KEY: usage_events.c.key_id,
    UsageBy.MODEL: usage_events.c.model,
    UsageBy.DEPLOYMENT: usage_events.c.deployment,
}
_FIRST_DAY: Final = date(1970, 1, 1)


class SqlUsage(TenantRows):
    """The usage of one tenant."""

    def sums(self, query: UsageQuery) -> list[UsageSum]:
        events = usage_events.c
        group = _GROUPS[query.by].label("usage_group")
        answered = case((events.status < 400, 1), else_=0)
        # What was generated for a client that went away was generated all the same.
        produced = (events.status < 400) | (events.status == GONE)
        statement = self._select(
            usage_events,
            group,
            events.price_id,
            func.sum(answered),
            func.sum(1 - answered),
            *(
                func.sum(column)
                for column in (events.rows, events.bytes_in, events.bytes_out, events.duration)
            ),
            func.sum(case((events.cached, 1), else_=0)),
            *(
                func.sum(case((produced, column), else_=0))
                for column in (
                    events.prompt_tokens,
                    events.cached_tokens,
                    events.completion_tokens,
                )
            ),
        )
        if query.since is not None:
            statement = statement.where(events.at >= microseconds(query.since))
        if query.until is not None:
            statement = statement.where(events.at < microseconds(query.until))
        # A price that is missing sorts first in one database and last in the other.
        order = (group, func.coalesce(events.price_id, ""))
        rows = self._connection.execute(statement.group_by(group, events.price_id).order_by(*order))
        return [
            UsageSum(_group_name(query.by, name), price_id, *(int(total) for total in totals))
            for name, price_id, *totals in rows
        ]


def _group_name(by: UsageBy, value: Any) -> str:
    if by is UsageBy.DAY:
        return (_FIRST_DAY + timedelta(days=int(value))).isoformat()
    return str(value)


class SqlLedger:
    """Where the journals' events go, across tenants."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def offset(self, journal_id: str) -> int:
        statement = select(journal_offsets.c.ingested).where(
            journal_offsets.c.journal_id == journal_id
        )
        return self._connection.execute(statement).scalar_one_or_none() or 0

    def append(self, journal_id: str, end: int, events: Sequence[PredictionMade]) -> None:
        dialect = self._connection.dialect
        if events:
            histories = self._histories({(event.owner, event.deployment) for event in events})
            rows = [
                (*astuple(event), histories[event.owner, event.deployment].id_at(event.at))
                for event in events
            ]
            self._connection.exec_driver_sql(_insertion(dialect), rows)
        moved = upsert(dialect, journal_offsets).values(journal_id=journal_id, ingested=end)
        self._connection.execute(
            moved.on_conflict_do_update(
                index_elements=[journal_offsets.c.journal_id],
                set_={"ingested": moved.excluded.ingested},
                where=moved.excluded.ingested > journal_offsets.c.ingested,
            )
        )

    def _histories(self, deployed: set[tuple[str, str]]) -> dict[tuple[str, str], PriceHistory]:
        found: dict[tuple[str, str], list[Price]] = {key: [] for key in deployed}
        rows = self._connection.execute(
            select(prices.c.tenant_id, *PRICE).where(
                tuple_(prices.c.tenant_id, prices.c.deployment).in_(sorted(deployed))
            )
        )
        for row in rows:
            found[row.tenant_id, row.deployment].append(price_of(row))
        return {key: PriceHistory(of_it) for key, of_it in found.items()}


def _insertion(dialect: Dialect) -> str:
    """The statement for rows of an event's fields and its price, in the driver's own words: all
    that is done for each row is done here a hundred thousand times.
    """
    names = [*PredictionMade.__struct_fields__, "price_id"]
    columns = ", ".join(map(dialect.identifier_preparer.quote, names))
    places = ", ".join(["?" if dialect.paramstyle == "qmark" else "%s"] * len(names))
    return (
        f"INSERT INTO usage_events ({columns}) VALUES ({places}) "  # noqa: S608 - our own names
        "ON CONFLICT DO NOTHING"
    )
