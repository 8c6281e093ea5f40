"""Prices: what a deployment asks per unit, from a moment on."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from modelyard.core.money import Money


class Unit(StrEnum):
    """What is counted."""

    REQUEST = "request"
    ROW = "row"


class Price(msgspec.Struct, frozen=True):
    """The price of one unit of a deployment. Never changed: a new price follows it."""

    id: str
    deployment: str
    unit: Unit
    price: Money
    effective_from: datetime
