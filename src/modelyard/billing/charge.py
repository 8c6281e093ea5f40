"""Charges: what usage costs within one period, each rounded to the currency's smallest coin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from modelyard.billing.price import Price
from modelyard.billing.rate import Unit
from modelyard.core.money import exact_sum, rounded

ChargeKey = tuple[str, str, str, Unit | None]


class Used(msgspec.Struct, frozen=True):
    """What one customer used of one deployment at one price, by unit, in its smallest parts.

    `owner_id` is empty where the deployment is the customer's own; so is `deployment` where it
    was the platform that was used.
    """

    customer_id: str
    owner_id: str
    deployment: str
    price_id: str
    quantities: Mapping[Unit, int]


class Charge(msgspec.Struct, frozen=True):
    """What is asked for it. Without a unit it is what was missing to the minimum."""

    owner_id: str
    deployment: str
    price_id: str
    unit: Unit | None
    quantity: int
    amount: Decimal

    @property
    def key(self) -> ChargeKey:
        """What it is for."""
        return self.owner_id, self.deployment, self.price_id, self.unit


def charges(used: Iterable[Used], prices: Mapping[str, Price]) -> list[Charge]:
    """The charges of one customer for one period, by deployment, price and unit.

    Tiers and free units count within the period and the price: where the price changed in its
    midst, each begins anew. The minimum is that of the last price under which the deployment was
    used, and counts all that the deployment cost in the period.
    """
    by_deployment: defaultdict[tuple[str, str], list[Used]] = defaultdict(list)
    for each in used:
        if any(each.quantities.values()):
            by_deployment[each.owner_id, each.deployment].append(each)
    found: list[Charge] = []
    for _, parts in sorted(by_deployment.items()):
        of_it = sorted(parts, key=lambda each: _order(prices[each.price_id]))
        asked = [charge for each in of_it for charge in _charges_of(each, prices[each.price_id])]
        found += asked
        found += _missing(of_it[-1], prices[of_it[-1].price_id], asked)
    return found


def late(now: Sequence[Charge], before: Iterable[Charge]) -> list[Charge]:
    """What has to be added to the charges `before` to make those of `now`; less than nothing
    where more units have made them cheaper.
    """
    asked: defaultdict[ChargeKey, list[Charge]] = defaultdict(list)
    for charge in before:
        asked[charge.key].append(charge)
    current = {charge.key: charge for charge in now}
    found = []
    # As they come: what is new first in its own order, then what is there no more.
    for key in dict.fromkeys([*current, *asked]):
        held = current.get(key, Charge(*key, 0, Decimal(0)))
        quantity = held.quantity - sum(each.quantity for each in asked[key])
        amount = exact_sum(held.amount, *(-each.amount for each in asked[key]))
        if quantity or amount:
            found.append(Charge(*key, quantity, amount))
    return found


def _charges_of(used: Used, price: Price) -> list[Charge]:
    return [
        Charge(
            used.owner_id,
            used.deployment,
            price.id,
            rate.unit,
            quantity,
            rounded(rate.cost(quantity), price.currency),
        )
        for rate in price.rates
        if (quantity := used.quantities.get(rate.unit, 0))
    ]


def _missing(used: Used, price: Price, asked: Sequence[Charge]) -> list[Charge]:
    if price.minimum is None:
        return []
    missing = rounded(price.minimum, price.currency) - exact_sum(*(c.amount for c in asked))
    if missing <= 0:
        return []
    return [Charge(used.owner_id, used.deployment, price.id, None, 0, missing)]


def _order(price: Price) -> tuple[object, str]:
    return price.effective_from, price.id
