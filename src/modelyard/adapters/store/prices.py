"""The price book of one tenant."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from modelyard.adapters.store.schema import prices
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.billing.price import Price
from modelyard.core.money import Money

PRICE: Final = (
    prices.c.id,
    prices.c.deployment,
    prices.c.unit,
    prices.c.amount,
    prices.c.currency,
    prices.c.effective_from,
    prices.c.input_amount,
    prices.c.cached_amount,
)


def price_of(row: Row[*tuple[Any, ...]]) -> Price:
    """The price in a row of `PRICE`."""
    amounts = (row.amount, row.input_amount, row.cached_amount)
    money, of_input, cached = (a if a is None else Money(a, row.currency) for a in amounts)
    assert money is not None  # noqa: S101 - the column says so
    return Price(row.id, row.deployment, row.unit, money, row.effective_from, of_input, cached)


class SqlPrices(TenantRows):
    """The prices of one tenant."""

    def add(self, price: Price) -> None:
        self._connection.execute(
            self._insert(
                prices,
                id=price.id,
                deployment=price.deployment,
                unit=price.unit,
                amount=price.price.amount,
                currency=price.price.currency,
                effective_from=price.effective_from,
                input_amount=price.input and price.input.amount,
                cached_amount=price.cached and price.cached.amount,
            )
        )

    def list(self) -> list[Price]:
        newest_first = (prices.c.effective_from.desc(), prices.c.id.desc())
        rows = self._connection.execute(self._select(prices, *PRICE).order_by(*newest_first))
        return [price_of(row) for row in rows]
