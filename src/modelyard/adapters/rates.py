"""How a price becomes a gateway's rates: billing and data plane meet here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_UP, Decimal

from modelyard.billing.price import Price
from modelyard.billing.rate import Unit
from modelyard.core.clock import microseconds
from modelyard.core.quotas import PICO
from modelyard.serving.limits.charges import Rates


def rates_of(price: Price) -> Rates:
    """What one unit of each kind costs at list amounts. What is finer than a picounit is rounded
    up.
    """
    amounts = price.unit_amounts
    return Rates(
        since=microseconds(price.effective_from),
        request=_picos(amounts, Unit.REQUEST),
        row=_picos(amounts, Unit.ROW),
        input_token=_picos(amounts, Unit.INPUT_TOKEN),
        cached_token=_picos(amounts, Unit.CACHED_TOKEN),
        output_token=_picos(amounts, Unit.OUTPUT_TOKEN),
        compute=_picos(amounts, Unit.COMPUTE_SECOND),
        customer_id=price.customer_id,
        none=not price.rates,
    )


def history_of(prices: Iterable[Price]) -> tuple[Rates, ...]:
    """All rates that a deployment has had and will have, in the order of their time."""
    ordered = sorted(prices, key=lambda price: (price.effective_from, price.id))
    return tuple(rates_of(price) for price in ordered)


def _picos(amounts: Mapping[Unit, Decimal], unit: Unit) -> int:
    """Of the smallest part of the unit that is counted."""
    amount = amounts.get(unit, Decimal(0)) * PICO / 10**unit.digits
    return int(amount.to_integral_value(ROUND_UP))
