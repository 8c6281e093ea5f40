"""Money: exact decimal amounts, rounded only where it is said. Never a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

from modelyard.core.errors import Invalid

_MAX_DIGITS: Final = 18
_MAX_PLACES: Final = 12
_AMOUNT: Final = re.compile(rf"[0-9]{{1,{_MAX_DIGITS}}}(?:\.[0-9]{{1,{_MAX_PLACES}}})?")

# The default context rounds to 28 digits without a word. This one has room for any amount times
# any count, and raises should it ever have to round.
_EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
_ROUNDING: Final = Context(prec=100, traps=[InvalidOperation, Overflow])

# ISO 4217, list one: the currencies whose smallest coin is not a hundredth.
_WITHOUT_COINS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_MINOR_DIGITS: Final = {
    **dict.fromkeys(_WITHOUT_COINS.split(), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


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


def exact_sum(*amounts: Decimal) -> Decimal:
    """The sum, without any rounding."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def exact_product(amount: Decimal, factor: Decimal | int) -> Decimal:
    """The product, without any rounding."""
    return _EXACT.multiply(amount, factor)


def scaled(amount: Decimal, places: int) -> Decimal:
    """The amount times ten to `places`, exactly."""
    return _EXACT.scaleb(amount, places)


def minor_digits(currency: str) -> int:
    """Places after the point that amounts of the currency are paid in (ISO 4217)."""
    return _MINOR_DIGITS.get(currency, 2)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """To the currency's smallest coin; what lies in the middle goes away from zero."""
    coin = Decimal(1).scaleb(-minor_digits(currency))
    return amount.quantize(coin, ROUND_HALF_UP, _ROUNDING)


def plain(amount: Decimal) -> Decimal:
    """The amount without trailing zeros or an exponent, to be shown."""
    return _EXACT.add(_EXACT.normalize(amount), Decimal(0))
