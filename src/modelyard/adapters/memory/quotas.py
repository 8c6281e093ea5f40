"""Quotas of one tenant; and the budgets of all, as the controller keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from modelyard.adapters.memory.state import State, cut_newest
from modelyard.adapters.routes import wanted_quota
from modelyard.adapters.spending import deployments_of, spending
from modelyard.billing.price import Price
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.events import PredictionMade
from modelyard.core.pages import Page, PageRequest
from modelyard.serving.limits.quota import WantedQuota
from modelyard.tenancy.ports import Spending
from modelyard.tenancy.quota import MAX_QUOTAS, Alert, Quota


class MemoryQuotas:
    """The quotas of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def put(self, quota: Quota) -> Quota:
        for kept in self._state.quotas.values():
            if _place(kept) == _place(quota):
                quota = replace(
                    kept,
                    amount=quota.amount,
                    strict=quota.strict,
                    alert_at=quota.alert_at,
                    updated_at=quota.updated_at,
                )
        if quota.id not in self._state.quotas and len(self._state.quotas) >= MAX_QUOTAS:
            raise Conflict(f"there are {MAX_QUOTAS} quotas already: remove some first")
        self._state.quotas[quota.id] = quota
        for (quota_id, since), (spent, _) in list(self._state.spent.items()):
            if quota_id == quota.id:
                self._state.spent[quota_id, since] = (spent, 0)
        return quota

    def get(self, quota_id: str) -> Quota:
        quota = self._state.quotas.get(quota_id)
        if quota is None or quota.tenant_id != self._tenant_id:
            raise NotFound(f"there is no quota '{quota_id}'")
        return quota

    def list(self, page: PageRequest) -> Page[Quota]:
        own = [each for each in self._state.quotas.values() if each.tenant_id == self._tenant_id]
        return cut_newest(own, page, lambda quota: quota.id)

    def remove(self, quota_id: str) -> None:
        del self._state.quotas[self.get(quota_id).id]
        for key in [key for key in self._state.spent if key[0] == quota_id]:
            del self._state.spent[key]

    def spent(self, quota_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        latest = _latest(self._state)
        own = {each.id for each in self._state.quotas.values() if each.tenant_id == self._tenant_id}
        return {key: latest[key][:2] for key in quota_ids if key in latest and key in own}

    def alerts(self, page: PageRequest) -> Page[Alert]:
        own = [each for each in self._state.alerts.values() if each.tenant_id == self._tenant_id]
        return cut_newest(own, page, lambda alert: alert.id)


class MemoryBudgets:
    """The budgets of all tenants."""

    def __init__(self, state: State) -> None:
        self._state = state

    def all(self) -> list[Quota]:
        return sorted(self._state.quotas.values(), key=lambda quota: quota.id)

    def callers(self) -> list[str]:
        return [tenant.id for tenant in self._state.tenants.values()]

    def unopened(self) -> list[Quota]:
        return sorted(
            (each for each in self._state.quotas.values() if not each.opened),
            key=lambda quota: quota.id,
        )

    def spent(self, quota: Quota, since: int, until: int) -> int:
        events = [event for event, _ in self._state.usage.values() if since <= event.at < until]
        return sum(spending([quota], events, self._prices(events)).values())

    def open(self, quota_id: str, since: int, spent: int) -> None:
        self._count(quota_id, since, spent)
        self._state.quotas[quota_id] = replace(self._state.quotas[quota_id], opened=True)

    def charge(self, events: Sequence[PredictionMade]) -> None:
        budgets = [
            each for each in self._state.quotas.values() if each.opened and each.period.is_budget
        ]
        spent = spending(budgets, events, self._prices(events))
        for (quota_id, since), amount in spent.items():
            self._count(quota_id, since, amount)

    def spending(self) -> list[Spending]:
        latest = _latest(self._state)
        return [
            Spending(self._state.quotas[quota_id], *period)
            for quota_id, period in latest.items()
            if self._state.quotas[quota_id].opened
        ]

    def tell(self, alert: Alert, told: int) -> None:
        self._state.alerts[alert.id] = alert
        for key, (spent, _) in list(self._state.spent.items()):
            if key[0] == alert.quota_id:
                self._state.spent[key] = (spent, told)

    def _count(self, quota_id: str, since: int, amount: int) -> None:
        spent, told = self._state.spent.get((quota_id, since), (0, 0))
        self._state.spent[quota_id, since] = (spent + amount, told)

    def _prices(self, events: Sequence[PredictionMade]) -> dict[tuple[str, str], list[Price]]:
        prices = self._state.prices.values()
        return {
            (owner, name): [p for tenant, p in prices if (tenant, p.deployment) == (owner, name)]
            for owner, name in deployments_of(events)
        }


def wanted_quotas(state: State) -> list[WantedQuota]:
    """All quotas in force, as gateways know them."""
    latest = _latest(state)
    return [
        wanted_quota(quota, *latest.get(quota.id, (0, 0, 0))[:2])
        for quota in state.quotas.values()
        if quota.opened
    ]


def _latest(state: State) -> dict[str, tuple[int, int, int]]:
    """Of each budget the latest period: its beginning, what was spent, what was told."""
    found: dict[str, tuple[int, int, int]] = {}
    for (quota_id, since), (spent, told) in sorted(state.spent.items()):
        found[quota_id] = (since, spent, told)
    return found


def _place(quota: Quota) -> tuple[object, ...]:
    whose = quota.tenant_id, quota.key_id, quota.deployment, quota.each_caller, quota.imposed
    return *whose, quota.measure, quota.period
