"""Prices and usage: use cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

import msgspec

from modelyard.billing.ports import BillingTransaction
from modelyard.billing.price import Price, PriceHistory
from modelyard.billing.quantity import of_units
from modelyard.billing.rate import Rate
from modelyard.billing.usage import UsageLine, UsageQuery, UsageSum
from modelyard.core import ids
from modelyard.core.clock import Clock, from_microseconds, microseconds
from modelyard.core.errors import Conflict, Invalid
from modelyard.core.money import exact_product, exact_sum, plain
from modelyard.core.names import check_name
from modelyard.core.ports import Store


class NewPrice(msgspec.Struct, frozen=True):
    """A price to be set. `effective_from` None is now. See `billing.price.Price`."""

    deployment: str
    rates: tuple[Rate, ...]
    minimum: Decimal | None = None
    customer_id: str = ""
    effective_from: datetime | None = None


class AskedPrice(NamedTuple):
    """The price in force, and what takes its place when; None is none."""

    now: Price | None
    later: list[tuple[datetime, Price | None]]


class BillingService:
    """Keeps the price book and reports usage with its cost. All prices are in one currency."""

    def __init__(self, store: Store[BillingTransaction], clock: Clock, currency: str) -> None:
        self._store = store
        self._clock = clock
        self._currency = currency

    def set_price(self, tenant_id: str, new: NewPrice) -> Price:
        """Price a deployment from a moment on; what was used before keeps its price.

        Raises:
            Invalid: rates that do not go together, or a moment that is over: what was used since
                has its price already.
            Conflict: the tenant's prices are in another currency: their sums would mean nothing.
        """
        if new.deployment:
            check_name("deployment", new.deployment)
        now = self._clock.now()
        if new.effective_from is not None and new.effective_from < now:
            raise Invalid("a price holds from now on or from later on: what was used has its price")
        price = Price(
            id=ids.new_id(ids.PRICE),
            deployment=new.deployment,
            currency=self._currency,
            rates=new.rates,
            effective_from=new.effective_from or now,
            minimum=new.minimum,
            customer_id=new.customer_id,
        )
        with self._store.begin() as tx:
            prices = tx.prices(tenant_id)
            others = {other.currency for other in prices.list()} - {self._currency}
            if others:
                raise Conflict(
                    f"there are prices in {others.pop()}; a new one cannot be in "
                    f"{self._currency}: set the currency back"
                )
            prices.add(price)
            tx.bump()
        return price

    def prices(self, tenant_id: str) -> list[Price]:
        """The price book, newest first."""
        with self._store.read() as tx:
            return tx.prices(tenant_id).list()

    def asked_of(self, customer_id: str, tenant_id: str, deployment: str) -> AskedPrice:
        """What a deployment costs a tenant that calls it, by the book of whose it is."""
        now = microseconds(self._clock.now())
        with self._store.read() as tx:
            book = tx.prices(tenant_id).list()
        history = PriceHistory(
            (each for each in book if each.deployment == deployment), customer_id
        )
        later = [(from_microseconds(start), price) for start, price in history.later(now)]
        return AskedPrice(history.at(now), later)

    def usage(self, tenant_id: str, query: UsageQuery) -> list[UsageLine]:
        """Usage by group, each with its exact cost at list amounts: what tiers, free units and
        minimums change is settled on the invoice.

        Raises:
            Invalid: `since` is not before `until`, or a group is asked for twice or not at all.
        """
        if query.since and query.until and query.since >= query.until:
            raise Invalid("since must be before until")
        if not query.by or len({*query.by}) < len(query.by):
            raise Invalid("group by one or more different things")
        with self._store.read() as tx:
            sums = tx.usage(tenant_id).sums(query)
            prices = tx.ledger().prices({each.price_id for each in sums if each.price_id})
        ordered = sorted(sums, key=lambda each: each.groups)
        return [
            _line(groups, list(parts), prices)
            for groups, parts in groupby(ordered, key=lambda each: each.groups)
        ]


def _line(
    groups: tuple[str, ...], parts: Sequence[UsageSum], prices: Mapping[str, Price]
) -> UsageLine:
    priced = [(part, prices[part.price_id]) for part in parts if part.price_id is not None]
    requests = sum(part.requests for part in parts)
    errors = sum(part.errors for part in parts)
    costs = [list_cost(part, price) for part, price in priced]
    return UsageLine(
        groups=groups,
        requests=requests,
        errors=errors,
        rows=sum(part.rows for part in parts),
        bytes_in=sum(part.bytes_in for part in parts),
        bytes_out=sum(part.bytes_out for part in parts),
        mean_ms=sum(part.duration for part in parts) / max(requests + errors, 1) / 1000,
        cost=plain(exact_sum(*costs)) if costs else None,
        currency=priced[0][1].currency if priced else None,
        cached=sum(part.cached for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        cached_tokens=sum(part.cached_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        compute_ms=sum(part.compute for part in parts) / 1000,
    )


def list_cost(part: UsageSum, price: Price) -> Decimal:
    """What it costs before tiers, free units and minimums, exactly."""
    counted = of_units(part.quantities)
    return exact_sum(
        *(exact_product(amount, counted[unit]) for unit, amount in price.unit_amounts.items())
    )
