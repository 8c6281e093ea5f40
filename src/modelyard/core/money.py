"""Money: an exact decimal amount in one currency. Never a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final

import msgspec

from modelyard.core.errors import Invalid

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_MAX_DIGITS: Final = 18
_MAX_PLACES: Final = 12


def parse_amount(text: str) -> Decimal:
    """Read a non-negative amount such as `"0.001"`, exactly.

    At most 18 digits before and 12 after the point.

    Raises:
        Invalid: not a finite, non-negative decimal number within those bounds.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise Invalid(f"amount {text[:40]!r} is not a decimal number such as 0.001") from None
    if not amount.is_finite() or amount.is_signed():
        raise Invalid(f"amount {text[:40]!r} must be a finite number, zero or more")
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > _MAX_PLACES or amount.adjusted() >= _MAX_DIGITS:
        raise Invalid(
            f"amount {text[:40]!r} is out of bounds: at most {_MAX_DIGITS} digits before "
            f"and {_MAX_PLACES} after the decimal point"
        )
    return amount


class Money(msgspec.Struct, frozen=True, order=False):
    """An amount and its ISO 4217 currency code."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not _CURRENCY.fullmatch(self.currency):
            raise Invalid(f"currency {self.currency[:10]!r} must be an ISO 4217 code such as USD")

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise Invalid(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def times(self, quantity: int) -> Money:
        """The exact price of `quantity` units."""
        return Money(self.amount * quantity, self.currency)

    def rounded(self, places: int = 2) -> Money:
        """Rounded half to even; only for amounts that a person is asked to pay."""
        step = Decimal(1).scaleb(-places)
        return Money(self.amount.quantize(step, ROUND_HALF_EVEN), self.currency)
