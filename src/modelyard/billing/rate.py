"""Rates: what so much of one unit costs, in one step or in tiers."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.money import exact_product, exact_sum, plain, scaled

MAX_TIERS: Final = 20
MAX_BOUND: Final = 10**15


class Unit(StrEnum):
    """What is counted. Each is kept as a whole number of its smallest part."""

    REQUEST = "request"
    ROW = "row"
    INPUT_TOKEN = "input_token"  # noqa: S105
    CACHED_TOKEN = "cached_token"  # noqa: S105
    OUTPUT_TOKEN = "output_token"  # noqa: S105
    COMPUTE_SECOND = "compute_second"
    TRAINING_SECOND = "training_second"
    GB_HOUR = "gb_hour"

    @property
    def digits(self) -> int:
        """The quantity of one unit is 10 to this: seconds are kept in microseconds, gigabyte
        hours in byte hours, all others as they are.
        """
        return _DIGITS.get(self, 0)

    @property
    def priced_by(self) -> int:
        """An amount is for 10 to this many units: tokens are priced by the million."""
        return 6 if self in TOKENS else 0

    @property
    def told(self) -> str:
        """The unit in words, with the number of them that an amount is for."""
        words = self.value.replace("_", " ")
        return f"million {words}s" if self in TOKENS else words

    @property
    def platform(self) -> bool:
        """Whether it is used of the platform, not of a deployment."""
        return self in (Unit.TRAINING_SECOND, Unit.GB_HOUR)


TOKENS: Final = frozenset({Unit.INPUT_TOKEN, Unit.CACHED_TOKEN, Unit.OUTPUT_TOKEN})
_DIGITS: Final = {Unit.COMPUTE_SECOND: 6, Unit.TRAINING_SECOND: 6, Unit.GB_HOUR: 9}


class Scheme(StrEnum):
    """How tiers are read. GRADUATED: the units of each tier cost its amount. VOLUME: all units
    cost the amount of the tier in which the last one falls.
    """

    GRADUATED = "graduated"
    VOLUME = "volume"


class Tier(msgspec.Struct, frozen=True):
    """An amount for units up to a number, that one included; None is without end."""

    amount: Decimal
    up_to: int | None = None


class Rate(msgspec.Struct, frozen=True):
    """What units cost within one period. The first `free` of them cost nothing, and tiers count
    from there on.

    Raises:
        Invalid: tiers that do not ascend, or do not end without a bound; numbers out of bounds.
    """

    unit: Unit
    tiers: tuple[Tier, ...]
    scheme: Scheme = Scheme.GRADUATED
    free: int = 0

    def __post_init__(self) -> None:
        bounds = [tier.up_to for tier in self.tiers]
        if not 1 <= len(bounds) <= MAX_TIERS:
            raise Invalid(f"a rate has 1 to {MAX_TIERS} tiers, not {len(bounds)}")
        if bounds[-1] is not None or None in bounds[:-1]:
            raise Invalid("the last tier, and no other, is without 'up_to'")
        numbers = [0, *(bound for bound in bounds if bound is not None)]
        if any(after <= before for before, after in pairwise(numbers)):
            raise Invalid(f"'up_to' must grow from tier to tier, from 1 on: {numbers[1:]}")
        if not 0 <= self.free <= MAX_BOUND or numbers[-1] > MAX_BOUND:
            raise Invalid(f"'free' and 'up_to' are numbers of units, up to {MAX_BOUND}")
        if any(not tier.amount.is_finite() or tier.amount < 0 for tier in self.tiers):
            raise Invalid("an amount is a number of zero or more")

    @classmethod
    def flat(cls, unit: Unit, amount: Decimal) -> Rate:
        """Each unit costs the same."""
        return cls(unit, (Tier(amount),))

    @property
    def plain(self) -> bool:
        """Whether each unit costs the same, from the first on."""
        return len(self.tiers) == 1 and not self.free

    @property
    def list_amount(self) -> Decimal:
        """What one unit costs in the first tier, exactly."""
        return scaled(self.tiers[0].amount, -self.unit.priced_by)

    @property
    def terms(self) -> str:
        """The rate in a few words, for an invoice: `0.01 to 1000, then 0.005, 100 free`."""
        steps = [
            f"{plain(tier.amount):f}" + ("" if tier.up_to is None else f" to {tier.up_to}")
            for tier in self.tiers
        ]
        words = [", then ".join(steps)]
        if self.scheme is Scheme.VOLUME and len(steps) > 1:
            words.append("by volume")
        if self.free:
            words.append(f"{self.free} free")
        return ", ".join(words)

    def cost(self, quantity: int) -> Decimal:
        """What a quantity costs (in the smallest parts of its unit), exactly."""
        charged = max(0, quantity - self.free * 10**self.unit.digits)
        total = Decimal(0)
        for amount, parts in self._shares(charged):
            total = exact_sum(total, exact_product(amount, parts))
        return scaled(total, -self.unit.priced_by - self.unit.digits)

    def _shares(self, quantity: int) -> list[tuple[Decimal, int]]:
        """How much of the quantity costs which amount."""
        one = 10**self.unit.digits
        shares, begun = [], 0
        for tier in self.tiers:
            end = quantity if tier.up_to is None else min(quantity, tier.up_to * one)
            if self.scheme is Scheme.GRADUATED:
                shares.append((tier.amount, end - begun))
            elif end == quantity:
                return [(tier.amount, quantity)]
            begun = end
        return shares
