"""The ledger into which all usage goes, across tenants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import astuple
from sqlalchemy import Connection, Dialect, select

from modelyard.adapters.store.keys import note_use
from modelyard.adapters.store.prices import PRICE, price_of, prices_of
from modelyard.adapters.store.tables import journal_offsets, prices
from modelyard.adapters.store.tenant_rows import upsert
from modelyard.billing.price import Price, PriceHistory
from modelyard.core.events import PredictionMade

Priced = tuple[str, str, str]
"""An owner (empty: who called it), its deployment, and who called it."""


class SqlLedger:
    """Where the journals' events go."""

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
            priced = [(event.owner_id, event.deployment, event.tenant_id) for event in events]
            histories = self._histories({*priced})
            rows = [
                (*astuple(event), histories[key].id_at(event.at))
                for key, event in zip(priced, events, strict=True)
            ]
            self._connection.exec_driver_sql(_insertion(dialect), rows)
            used: dict[str, int] = {}
            for event in events:
                if event.at > used.get(event.key_id, 0):
                    used[event.key_id] = event.at
            note_use(self._connection, used)
        moved = upsert(dialect, journal_offsets).values(journal_id=journal_id, ingested=end)
        self._connection.execute(
            moved.on_conflict_do_update(
                index_elements=[journal_offsets.c.journal_id],
                set_={"ingested": moved.excluded.ingested},
                where=moved.excluded.ingested > journal_offsets.c.ingested,
            )
        )

    def prices(self, price_ids: Collection[str]) -> Mapping[str, Price]:
        rows = self._connection.execute(select(*PRICE).where(prices.c.id.in_(sorted(price_ids))))
        return {row.id: price_of(row) for row in rows}

    def _histories(self, priced: set[Priced]) -> dict[Priced, PriceHistory]:
        books = {(owner or tenant, deployment) for owner, deployment, tenant in priced}
        found = prices_of(self._connection, books)
        return {
            (owner, deployment, tenant): PriceHistory(found[owner or tenant, deployment], tenant)
            for owner, deployment, tenant in priced
        }


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
