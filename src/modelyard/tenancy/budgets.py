"""What the controller does for budgets: find out what was spent, and tell when that is much."""

from __future__ import annotations

import logging

from modelyard.core import ids
from modelyard.core.clock import Clock, from_microseconds, microseconds
from modelyard.core.ports import Store
from modelyard.core.quotas import bounds
from modelyard.tenancy.ports import BudgetTransaction, Spending
from modelyard.tenancy.quota import Alert, AlertKind

_log = logging.getLogger(__name__)


class Budgets:
    """All budgets. What is charged is charged with the ledger's own transactions, elsewhere in
    the same process: so nothing is counted twice, or not at all, when a budget is opened.
    """

    def __init__(self, store: Store[BudgetTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def open(self) -> int:
        """Put new budgets in force, with what was spent of them before; return how many."""
        with self._store.read() as tx:
            fresh = tx.budgets().unopened()
        now = microseconds(self._clock.now())
        for quota in fresh:
            since, until = bounds(quota.period, now, quota.zone)
            with self._store.begin() as tx:
                budgets = tx.budgets()
                budgets.open(quota.id, since, budgets.spent(quota, since, until))
                tx.bump()
        return len(fresh)

    def tell(self) -> int:
        """Alert of budgets that have reached their alert or their end; return of how many."""
        with self._store.read() as tx:
            spending = tx.budgets().spending()
        told = [(each, alert) for each in spending if (alert := self._alert(each)) is not None]
        for each, alert in told:
            with self._store.begin() as tx:
                tx.budgets().tell(alert, _rank(alert.kind))
            _log.warning(
                "a budget is spent"
                if alert.kind is AlertKind.SPENT
                else "a budget is nearly spent",
                extra={
                    "tenant": alert.tenant_id,
                    "key": alert.key_id,
                    "quota": alert.quota_id,
                    "measure": alert.measure.value,
                    "period": alert.period.value,
                    "amount": alert.measure.told(alert.amount),
                    "spent": each.quota.measure.told(alert.spent),
                },
            )
        return len(told)

    def _alert(self, spending: Spending) -> Alert | None:
        quota, now = spending.quota, self._clock.now()
        since, _ = bounds(quota.period, microseconds(now), quota.zone)
        kind = _reached(spending)
        if spending.since != since or kind is None or _rank(kind) <= spending.told:
            return None
        return Alert(
            id=ids.new_id(ids.ALERT),
            tenant_id=quota.tenant_id,
            quota_id=quota.id,
            key_id=quota.key_id,
            kind=kind,
            measure=quota.measure,
            period=quota.period,
            amount=quota.amount,
            spent=spending.spent,
            since=from_microseconds(since),
            at=now,
        )


def _reached(spending: Spending) -> AlertKind | None:
    quota = spending.quota
    if spending.spent >= quota.amount:
        return AlertKind.SPENT
    if quota.alert_at and spending.spent * 100 >= quota.amount * quota.alert_at:
        return AlertKind.NEARLY
    return None


def _rank(kind: AlertKind) -> int:
    return 1 + list(AlertKind).index(kind)
