"""Prices and usage: use cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from modelyard.billing.ports import BillingTransaction
from modelyard.billing.price import Price, Unit
from modelyard.billing.usage import UsageLine, UsageQuery, UsageSum
from modelyard.core import ids
from modelyard.core.clock import Clock
from modelyard.core.errors import Conflict, Invalid
from modelyard.core.money import Money, parse_amount
from modelyard.core.names import check_name
from modelyard.core.ports import Store


class BillingService:
    """Keeps the price book and reports usage with its cost. All prices are in one currency."""

    def __init__(self, store: Store[BillingTransaction], clock: Clock, currency: str) -> None:
        self._store = store
        self._clock = clock
        self._currency = currency

    def set_price(
        self,
        tenant_id: str,
        deployment: str,
        unit: Unit,
        amount: str,
        input_amount: str | None = None,
        cached_amount: str | None = None,
    ) -> Price:
        """Price a deployment from now on; what was used before keeps its price.

        Tokens have a price for those of prompts, too; cached ones cost the same unless said.

        Raises:
            Invalid: an amount is not a decimal number of zero or more, or missing, or too many.
            Conflict: the tenant's prices are in another currency: their sums would mean nothing.
        """
        check_name("deployment", deployment)
        if (unit is Unit.TOKEN) != (input_amount is not None):
            raise Invalid("a price of tokens, and no other, has an amount for input tokens, too")
        of_input = None if input_amount is None else self._money(input_amount)
        cached = of_input if cached_amount is None else self._money(cached_amount)
        if of_input is None and cached is not None:
            raise Invalid("only a price of tokens has an amount for cached ones")
        price = Price(
            id=ids.new_id(ids.PRICE),
            deployment=deployment,
            unit=unit,
            price=self._money(amount),
            effective_from=self._clock.now(),
            input=of_input,
            cached=cached,
        )
        with self._store.begin() as tx:
            prices = tx.prices(tenant_id)
            others = {other.price.currency for other in prices.list()} - {self._currency}
            if others:
                raise Conflict(
                    f"there are prices in {others.pop()}; a new one cannot be in "
                    f"{self._currency}: set the currency back"
                )
            prices.add(price)
        return price

    def _money(self, amount: str) -> Money:
        return Money(parse_amount(amount), self._currency)

    def prices(self, tenant_id: str) -> list[Price]:
        """The price book, newest first."""
        with self._store.read() as tx:
            return tx.prices(tenant_id).list()

    def usage(self, tenant_id: str, query: UsageQuery) -> list[UsageLine]:
        """Usage by group, each with its exact cost.

        Raises:
            Invalid: `since` is not before `until`.
        """
        if query.since and query.until and query.since >= query.until:
            raise Invalid("since must be before until")
        with self._store.read() as tx:
            sums = tx.usage(tenant_id).sums(query)
            prices = {price.id: price for price in tx.prices(tenant_id).list()}
        ordered = sorted(sums, key=lambda each: each.group)
        return [
            _line(group, list(parts), prices)
            for group, parts in groupby(ordered, key=lambda each: each.group)
        ]


def _line(group: str, parts: Sequence[UsageSum], prices: Mapping[str, Price]) -> UsageLine:
    costs = [_cost(part, prices[part.price_id]) for part in parts if part.price_id is not None]
    requests = sum(part.requests for part in parts)
    errors = sum(part.errors for part in parts)
    total: Money | None = None
    for cost in costs:
        total = cost if total is None else total + cost
    return UsageLine(
        group=group,
        requests=requests,
        errors=errors,
        rows=sum(part.rows for part in parts),
        bytes_in=sum(part.bytes_in for part in parts),
        bytes_out=sum(part.bytes_out for part in parts),
        mean_ms=sum(part.duration for part in parts) / max(requests + errors, 1) / 1000,
        cost=total.plain() if total else None,
        currency=total.currency if total else None,
        cached=sum(part.cached for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        cached_tokens=sum(part.cached_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
    )


def _cost(part: UsageSum, price: Price) -> Money:
    if price.input is None or price.cached is None:
        quantity = part.requests if price.unit is Unit.REQUEST else part.rows
        return price.price.times(quantity)
    computed = price.input.times(part.prompt_tokens - part.cached_tokens)
    cached = price.cached.times(part.cached_tokens)
    return (price.price.times(part.completion_tokens) + computed + cached).millionth()
