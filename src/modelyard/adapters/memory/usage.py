"""Prices and usage of one tenant, and the ledger into which all usage goes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from modelyard.adapters.memory.state import State
from modelyard.billing.price import Price, PriceHistory
from modelyard.billing.usage import Side, UsageBy, UsageQuery, UsageSum
from modelyard.core.clock import from_microseconds, microseconds
from modelyard.core.errors import Conflict
from modelyard.core.events import PredictionMade
from modelyard.core.metering import Quantities, quantities

_GROUPS: Final[dict[UsageBy, Callable[[PredictionMade], str]]] = {
    UsageBy.DAY: lambda event: from_microseconds(event.at).date().isoformat(),
    UsageBy.KEY: lambda event: event.key_id,
    UsageBy.MODEL: lambda event: event.model,
    UsageBy.DEPLOYMENT: lambda event: event.deployment,
    UsageBy.TENANT: lambda event: event.tenant_id,
}


class MemoryPrices:
    """The price book of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def add(self, price: Price) -> None:
        if price.id in self._state.prices:
            raise Conflict(f"there is a price '{price.id}' already")
        self._state.prices[price.id] = (self._tenant_id, price)

    def list(self) -> list[Price]:
        own = [price for tenant, price in self._state.prices.values() if tenant == self._tenant_id]
        return sorted(own, key=lambda price: (price.effective_from, price.id), reverse=True)


class MemoryUsage:
    """The usage that one tenant is concerned in."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def sums(self, query: UsageQuery) -> list[UsageSum]:
        groups: dict[tuple[tuple[str, ...], str | None], list[PredictionMade]] = {}
        for event, price_id in self._state.usage.values():
            if self._concerned(event, query.side) and _within(event, query):
                named = tuple(_GROUPS[by](event) for by in query.by)
                groups.setdefault((named, price_id), []).append(event)
        ordered = sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        return [_sum(named, price_id, events) for (named, price_id), events in ordered]

    def _concerned(self, event: PredictionMade, side: Side) -> bool:
        concerned = {Side.USED: event.tenant_id, Side.SERVED: event.owner}
        return side is Side.ALL or concerned[side] == self._tenant_id


class MemoryLedger:
    """Where the journals' events go, across tenants."""

    def __init__(self, state: State) -> None:
        self._state = state

    def offset(self, journal_id: str) -> int:
        return self._state.offsets.get(journal_id, 0)

    def append(self, journal_id: str, end: int, events: Sequence[PredictionMade]) -> None:
        for event in events:
            if event.request_id not in self._state.usage:
                self._state.usage[event.request_id] = (event, self._price_of(event))
            self._note_use(event)
        self._state.offsets[journal_id] = max(end, self.offset(journal_id))

    def prices(self, price_ids: Collection[str]) -> Mapping[str, Price]:
        found = self._state.prices
        return {key: found[key][1] for key in price_ids if key in found}

    def _note_use(self, event: PredictionMade) -> None:
        key, at = self._state.keys.get(event.key_id), from_microseconds(event.at)
        if key is not None and (key.last_used_at is None or key.last_used_at < at):
            self._state.keys[key.id] = replace(key, last_used_at=at)

    def _price_of(self, event: PredictionMade) -> str | None:
        asked = (event.owner, event.deployment)
        prices = self._state.prices.values()
        own = (price for tenant, price in prices if (tenant, price.deployment) == asked)
        return PriceHistory(own, event.tenant_id).id_at(event.at)


def _within(event: PredictionMade, query: UsageQuery) -> bool:
    return (query.since is None or event.at >= microseconds(query.since)) and (
        query.until is None or event.at < microseconds(query.until)
    )


def _sum(
    groups: tuple[str, ...], price_id: str | None, events: Sequence[PredictionMade]
) -> UsageSum:
    charged = sum((quantities(event) for event in events), Quantities())
    return UsageSum(
        groups=groups,
        price_id=price_id,
        requests=charged.requests,
        errors=len(events) - charged.requests,
        rows=sum(event.rows for event in events),
        bytes_in=sum(event.bytes_in for event in events),
        bytes_out=sum(event.bytes_out for event in events),
        duration=sum(event.duration for event in events),
        cached=sum(event.cached for event in events),
        prompt_tokens=charged.input_tokens + charged.cached_tokens,
        cached_tokens=charged.cached_tokens,
        completion_tokens=charged.output_tokens,
        compute=charged.compute,
    )
