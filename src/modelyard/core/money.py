"""Money: an exact decimal amount in one currency. Never a float."""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

import msgspec

from modelyard.core.errors import Invalid

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_MAX_DIGITS: Final = 18
_MAX_PLACES: Final = 12
_AMOUNT: Final = re.compile(rf"[0-9]{{1,{_MAX_DIGITS}}}(?:\.[0-9]{{1,{_MAX_PLACES}}})?")

# The default context rounds to 28 digits without a word. This one has room for any amount times
# any count, and raises should it ever have to round.
_EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])


def parse_amount(text: str) -> Decimal:
    """Read a non-negative amount such as `"0.001"`, exactly.

    At most 18 digits before and 12 after the point.

    Raises:
        Invalid: not a number of that form. A sign, an exponent or a separator is not.
    """
    if not _AMOUNT.fullmatch(text):
        raise Invalid(
            f"amount {text[:40]!r} is not a decimal number such as 0.001, zero or more, with at "
            f"most {_MAX_DIGITS} digits before and {_MAX_PLACES} after the point"
        )
    return Decimal(text)


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
        return Money(_EXACT.add(self.amount, other.amount), self.currency)

    def times(self, quantity: int) -> Money:
        """The exact price of `quantity` units."""
        return Money(_EXACT.multiply(self.amount, quantity), self.currency)

    def millionth(self) -> Money:
        """A millionth of it, exactly."""
        return Money(_EXACT.scaleb(self.amount, -6), self.currency)

    def plain(self) -> Decimal:
        """The amount without trailing zeros or an exponent, to be shown."""
        return _EXACT.add(_EXACT.normalize(self.amount), Decimal(0))
