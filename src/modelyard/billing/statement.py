"""A publisher's statement: what others' calls to its deployments have earned in a month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby

import msgspec

from modelyard.billing.charge import Charge, Used, charges
from modelyard.billing.period import Period
from modelyard.billing.price import Price
from modelyard.core.money import exact_sum


class Earning(msgspec.Struct, frozen=True):
    """What one customer was charged for."""

    customer_id: str
    charge: Charge


class Statement(msgspec.Struct, frozen=True):
    """All that was earned in a period, by customer; before tax, which the issuer of the invoices
    adds and owes.
    """

    period: Period
    currency: str
    earnings: tuple[Earning, ...]
    total: Decimal


def statement_of(
    period: Period, currency: str, sold: Sequence[Used], prices: Mapping[str, Price]
) -> Statement:
    """Each customer's charges, as their invoices have them for the same period."""
    ordered = sorted(sold, key=lambda used: used.customer_id)
    earnings = tuple(
        Earning(customer, charge)
        for customer, used in groupby(ordered, key=lambda used: used.customer_id)
        for charge in charges(used, prices)
    )
    total = exact_sum(*(each.charge.amount for each in earnings))
    return Statement(period, currency, earnings, total)
