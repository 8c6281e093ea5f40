"""The price book of one tenant."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from modelyard.adapters.store.schema import prices
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.billing.price import Price

PRICE: Final = tuple(prices.c[name] for name in Price.__struct_fields__)


def price_of(row: Row[Any]) -> Price:
    """The price in a row that ends with `PRICE`."""
    return Price(*row[-len(PRICE) :])


class SqlPrices(TenantRows):
    """The prices of one tenant."""

    def add(self, price: Price) -> None:
        values = {name: getattr(price, name) for name in Price.__struct_fields__}
        self._connection.execute(self._insert(prices, **values))

    def list(self) -> list[Price]:
        newest_first = (prices.c.effective_from.desc(), prices.c.id.desc())
        rows = self._connection.execute(self._select(prices, *PRICE).order_by(*newest_first))
        return [price_of(row) for row in rows]
