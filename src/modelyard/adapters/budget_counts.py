"""What the controller tells `/metrics` of budgets."""

from __future__ import annotations

from pathlib import Path

from modelyard.core.clock import Clock, microseconds
from modelyard.core.ports import Store
from modelyard.core.quotas import bounds
from modelyard.serving.limits.counts import BudgetCount, write_budgets
from modelyard.tenancy.ports import BudgetTransaction, Spending


class BudgetCounter:
    """Writes how far budgets are spent, by the ledger, whenever that has changed."""

    def __init__(self, folder: Path, store: Store[BudgetTransaction], clock: Clock) -> None:
        self._folder = folder
        self._store = store
        self._clock = clock
        self._written: list[BudgetCount] | None = None

    def write(self) -> int:
        """Returns how many budgets there are if it has written them, else 0."""
        with self._store.read() as tx:
            spending = tx.budgets().spending()
        now = microseconds(self._clock.now())
        counts = [_count(each, now) for each in spending]
        if counts == self._written:
            return 0
        write_budgets(self._folder, counts)
        self._written = counts
        return len(counts)


def _count(spending: Spending, now: int) -> BudgetCount:
    quota = spending.quota
    # Of a period in which nothing was spent yet there is no row: the last one's is over.
    present = bounds(quota.period, now, quota.zone)[0] == spending.since
    return BudgetCount(
        quota.tenant_id,
        quota.key_id or "",
        quota.id,
        quota.measure,
        quota.period,
        quota.strict,
        quota.amount,
        spending.spent if present else 0,
        spending.told if present else 0,
    )
