"""Prices: what a deployment asks per unit, from a moment on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from modelyard.billing.rate import Rate, Unit
from modelyard.core.clock import microseconds
from modelyard.core.errors import Invalid
from modelyard.core.money import plain


class Price(msgspec.Struct, frozen=True):
    """The price of a deployment, at most one rate for each unit. Never changed: a new one follows.

    `minimum` is what a period costs at least in which the deployment was used. With `customer_id`
    it holds for that tenant alone, and before the general one; without any rates it gives that
    tenant the general price back.

    The price without a deployment is the platform's own: of training and of storage.

    Raises:
        Invalid: two rates of one unit, or one that does not belong there.
    """

    id: str
    deployment: str
    currency: str
    rates: tuple[Rate, ...]
    effective_from: datetime
    minimum: Decimal | None = None
    customer_id: str = ""

    def __post_init__(self) -> None:
        units = [rate.unit for rate in self.rates]
        if len({*units}) < len(units):
            raise Invalid("a price has one rate for each unit, not two")
        if not units and not self.customer_id:
            raise Invalid("a price needs a rate; 'request' at 0 makes a deployment free")
        if any(unit.platform == bool(self.deployment) for unit in units):
            raise Invalid(
                "'training_second' and 'gb_hour' are priced without a deployment, "
                "all other units with one"
            )

    @property
    def unit_amounts(self) -> Mapping[Unit, Decimal]:
        """What one unit costs before tiers are left, free units and minimum aside. Exact."""
        return {rate.unit: rate.list_amount for rate in self.rates}

    @property
    def terms(self) -> str:
        """The price in words, such as `USD per row: 0.01 to 1000, then 0.005, 5 free`."""
        words = [f"{self.currency} per {rate.unit.told}: {rate.terms}" for rate in self.rates]
        if self.minimum is not None:
            words.append(f"at least {plain(self.minimum):f} a month in which it is used")
        return "; ".join(words)

    def rate(self, unit: Unit) -> Rate | None:
        """The rate of a unit, if it has one."""
        return next((rate for rate in self.rates if rate.unit is unit), None)


class PriceHistory:
    """The prices that one deployment has had for one customer, to find the one in force.

    A new price replaces the one before, whatever its units; of two that begin together, the one
    that was made later holds.
    """

    def __init__(self, prices: Iterable[Price], customer_id: str = "") -> None:
        ordered = sorted(prices, key=lambda price: (price.effective_from, price.id))
        self._starts: list[int] = []
        self._prices: list[Price | None] = [None]
        general: Price | None = None
        special: Price | None = None
        for price in ordered:
            if not price.customer_id:
                general = price
            elif price.customer_id == customer_id:
                special = price if price.rates else None
            else:
                continue
            self._starts.append(microseconds(price.effective_from))
            self._prices.append(special or general)
        self._ids = [None if price is None else price.id for price in self._prices]

    def at(self, moment: int) -> Price | None:
        """The price in force so many microseconds after 1970; None before the first."""
        return self._prices[bisect_right(self._starts, moment)]

    def later(self, moment: int) -> list[tuple[int, Price | None]]:
        """What takes the place of the price in force after the moment, and when."""
        at = bisect_right(self._starts, moment)
        found, present = [], self._prices[at]
        for start, price in zip(self._starts[at:], self._prices[at + 1 :], strict=True):
            if price is not present:
                found.append((start, price))
                present = price
        return found

    def id_at(self, moment: int) -> str | None:
        """The id of the price in force at the moment."""
        return self._ids[bisect_right(self._starts, moment)]
