"""What a request comes to in the unit of a quota; its price is that of the moment it began."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from modelyard.core.metering import Quantities
from modelyard.core.quotas import Measure


class Rates(msgspec.Struct, frozen=True):
    """What one unit of a deployment costs, in `core.quotas.PICO`ths of the currency, from `since`
    on (microseconds after 1970); of the model's time, one microsecond.

    With `customer_id` they hold for that tenant alone; `none` gives it the general ones back.
    """

    since: int = 0
    request: int = 0
    row: int = 0
    input_token: int = 0
    cached_token: int = 0
    output_token: int = 0
    compute: int = 0
    customer_id: str = ""
    none: bool = False

    def cost(self, used: Quantities) -> int:
        """What so much costs."""
        return (
            self.request * used.requests
            + self.row * used.rows
            + self.input_token * used.input_tokens
            + self.cached_token * used.cached_tokens
            + self.output_token * used.output_tokens
            + self.compute * used.compute
        )


FREE = Rates()


def rates_for(history: Sequence[Rates], customer_id: str, at: int) -> Rates:
    """The rates in force for a tenant at a moment; `history` is in the order of its time."""
    general, special = FREE, None
    for rates in history:
        if rates.since > at:
            break
        if not rates.customer_id:
            general = rates
        elif rates.customer_id == customer_id:
            special = None if rates.none else rates
    return special or general


def amount(measure: Measure, used: Quantities, rates: Rates) -> int:
    """So much in the unit of a measure."""
    if measure is Measure.REQUESTS or measure is Measure.CONCURRENCY:
        return used.requests
    if measure is Measure.ROWS:
        return used.rows
    if measure is Measure.TOKENS:
        return used.input_tokens + used.cached_tokens + used.output_tokens
    return rates.cost(used)
