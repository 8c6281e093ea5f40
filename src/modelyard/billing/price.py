"""Prices: what a deployment asks per unit, from a moment on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from modelyard.core.clock import microseconds
from modelyard.core.money import Money


class Unit(StrEnum):
    """What is counted."""

    REQUEST = "request"
    ROW = "row"
    TOKEN = "token"  # noqa: S105


class Price(msgspec.Struct, frozen=True):
    """The price of one unit of a deployment. Never changed: a new price follows it.

    That of tokens is for a million of those generated; `input` is for a million of the prompts',
    and `cached` for a million of these that had not to be computed. Others have neither.
    """

    id: str
    deployment: str
    unit: Unit
    price: Money
    effective_from: datetime
    input: Money | None = None
    cached: Money | None = None


class PriceHistory:
    """The prices that one deployment has had, to find the one in force at a moment.

    A new price replaces the one before, whatever its unit; of two that begin together, the one
    that was made later holds.
    """

    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices = sorted(prices, key=lambda price: (price.effective_from, price.id))
        self._starts = [microseconds(price.effective_from) for price in self._prices]
        self._ids = [None, *(price.id for price in self._prices)]

    def at(self, moment: int) -> Price | None:
        """The price in force so many microseconds after 1970; None before the first."""
        index = bisect_right(self._starts, moment)
        return self._prices[index - 1] if index else None

    def id_at(self, moment: int) -> str | None:
        """The id of the price in force at the moment."""
        return self._ids[bisect_right(self._starts, moment)]
