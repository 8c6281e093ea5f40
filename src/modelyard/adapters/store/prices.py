"""The price book of one tenant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, select, tuple_

from modelyard.adapters.store.tables import prices
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.billing.price import Price

PRICE: Final = tuple(prices.c[name] for name in Price.__struct_fields__)


def price_of(row: Row[Any]) -> Price:
    """The price in a row that ends with `PRICE`."""
    return Price(*row[-len(PRICE) :])


def prices_of(
    connection: Connection, deployed: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], list[Price]]:
    """All prices that these deployments have had: by owner and name."""
    found: dict[tuple[str, str], list[Price]] = {key: [] for key in deployed}
    if found:
        of_them = tuple_(prices.c.tenant_id, prices.c.deployment).in_(sorted(found))
        for row in connection.execute(select(prices.c.tenant_id, *PRICE).where(of_them)):
            found[row.tenant_id, row.deployment].append(price_of(row))
    return found


class SqlPrices(TenantRows):
    """The prices of one tenant."""

    def add(self, price: Price) -> None:
        values = {name: getattr(price, name) for name in Price.__struct_fields__}
        self._connection.execute(self._insert(prices, **values))

    def list(self) -> list[Price]:
        newest_first = (prices.c.effective_from.desc(), prices.c.id.desc())
        rows = self._connection.execute(self._select(prices, *PRICE).order_by(*newest_first))
        return [price_of(row) for row in rows]
