"""What requests have cost their budgets: what the ledger took in, by the rules of the gateways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from modelyard.adapters.rates import history_of
from modelyard.billing.price import Price
from modelyard.core.events import PredictionMade
from modelyard.core.metering import quantities
from modelyard.core.quotas import Measure, bounds
from modelyard.serving.limits.charges import FREE, Rates, amount, rates_for
from modelyard.tenancy.quota import Quota

Deployed = tuple[str, str]
"""An owner and the name of a deployment."""


def spending(
    budgets: Sequence[Quota],
    events: Sequence[PredictionMade],
    prices: Mapping[Deployed, Sequence[Price]],
) -> dict[tuple[str, int], int]:
    """What the events have cost each budget in each of its periods: by id and beginning."""
    of_tenant: defaultdict[str, list[Quota]] = defaultdict(list)
    for budget in budgets:
        of_tenant[budget.tenant_id].append(budget)
    histories = {deployed: history_of(of_it) for deployed, of_it in prices.items()}
    since = lru_cache(maxsize=4096)(bounds)
    spent: defaultdict[tuple[str, int], int] = defaultdict(int)
    for event in events:
        for budget in of_tenant.get(event.tenant_id, ()):
            if budget.key_id not in (None, event.key_id):
                continue
            rates = _rates(budget, event, histories)
            cost = amount(budget.measure, quantities(event), rates)
            if cost:
                # A second is exact enough to find the period, and is found again more often.
                at = event.at - event.at % 1_000_000
                spent[budget.id, since(budget.period, at, budget.zone)[0]] += cost
    return dict(spent)


def deployments_of(events: Sequence[PredictionMade]) -> set[Deployed]:
    """Whose prices hold for the events."""
    return {(event.owner, event.deployment) for event in events}


def needs_prices(budgets: Sequence[Quota]) -> bool:
    """Whether any of the budgets is of money."""
    return any(budget.measure is Measure.MONEY for budget in budgets)


def _rates(
    budget: Quota, event: PredictionMade, histories: Mapping[Deployed, Sequence[Rates]]
) -> Rates:
    if budget.measure is not Measure.MONEY:
        return FREE
    history = histories.get((event.owner, event.deployment), ())
    return rates_for(history, event.tenant_id, event.at)
