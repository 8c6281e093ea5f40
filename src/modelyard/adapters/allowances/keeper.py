"""What the controller does for the shared allowances, whatever becomes of gateways."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from modelyard.adapters.allowances.shared import reap
from modelyard.adapters.allowances.table import Table, key_of
from modelyard.adapters.routes import wanted_quota
from modelyard.core.clock import Clock, microseconds
from modelyard.core.ports import Store
from modelyard.core.quotas import bounds
from modelyard.serving.limits.accounts import correct, settled_in
from modelyard.tenancy.ports import BudgetTransaction, Spending
from modelyard.tenancy.quota import Quota

_log = logging.getLogger(__name__)

QUIET: Final = 2.0
"""Seconds without a change after which what was settled must be in the journal."""

_DAY: Final = timedelta(days=1)
Key = tuple[int, int]


class Keeper:
    """Keeps the table in step with the database. `ingest` takes in all of the journal."""

    def __init__(
        self,
        path: Path,
        store: Store[BudgetTransaction],
        clock: Clock,
        ingest: Callable[[], object],
    ) -> None:
        self._path = path
        self._store = store
        self._clock = clock
        self._ingest = ingest
        self._seen: dict[Key, tuple[int, float]] = {}
        self._stale: set[Key] = set()

    def reap(self) -> int:
        """Give back what processes held that have died; return how many."""
        with self._table.lock:
            return reap(self._table)

    def correct(self) -> int:
        """Have budgets that are quiet say what the ledger says; return how many said otherwise.

        The two differ by what a gateway had settled and not recorded when it died, by what was
        used while a budget was new, and by prices that changed in the same second.
        """
        if not self._quiet():
            return 0
        # Now that nothing is under way the ledger is to have all of it.
        self._ingest()
        with self._store.read() as tx:
            spending = tx.budgets().spending()
        return sum(self._corrected(each) for each in spending if self._is_present(each))

    def forget(self) -> int:
        """Free what belongs to quotas or periods that are no more; return how much.

        A period may come back for a while, when a clock is set; and a quota may be newer than what
        was read of the database. So only what is stale at two looks is freed.
        """
        with self._store.read() as tx:
            quotas, callers = tx.budgets().all(), tx.budgets().callers()
        now = self._clock.now()
        live = {
            key_of(account, bounds(quota.period, microseconds(at), quota.zone)[0])
            for quota in quotas
            for account in _accounts(quota, callers)
            for at in ((now - _DAY, now, now + _DAY) if quota.period.is_budget else (now,))
        }
        table = self._table
        with table.lock:
            unwanted = {key: slot for slot, key, _ in table.taken() if key not in live}
            gone = self._stale & unwanted.keys()
            for key in gone:
                table.free(unwanted[key])
        self._stale = unwanted.keys() - gone
        return len(gone)

    @cached_property
    def _table(self) -> Table:
        return Table(self._path)

    def _quiet(self) -> list[Key]:
        """The budgets of which nothing is held, and nothing was settled for a while."""
        table, now = self._table, self._clock.monotonic()
        seen: dict[Key, tuple[int, float]] = {}
        for slot, key, period in table.taken():
            if period.is_budget:
                settled = settled_in(table.account(slot), table.seats)
                before, since = self._seen.get(key, (None, now))
                seen[key] = (settled, since if before == settled else now)
        self._seen = seen
        return [key for key, (_, since) in seen.items() if now - since >= QUIET]

    def _corrected(self, spending: Spending) -> bool:
        quota, table = spending.quota, self._table
        key = key_of(quota.id, spending.since)
        settled, since = self._seen.get(key, (0, self._clock.monotonic()))
        slot = table.find(key)
        if slot is None or self._clock.monotonic() - since < QUIET:
            return False
        cells = table.account(slot)
        if cells[0] + settled == spending.spent:
            return False
        with table.lock_of(quota.tenant_id):
            done = correct(cells, table.seats, settled, spending.spent)
        if done:
            _log.info("budget corrected", extra={"quota": quota.id, "spent": spending.spent})
        return done

    def _is_present(self, spending: Spending) -> bool:
        quota, now = spending.quota, microseconds(self._clock.now())
        return bounds(quota.period, now, quota.zone)[0] == spending.since


def _accounts(quota: Quota, callers: Sequence[str]) -> Iterator[str]:
    """The names of all the accounts that a quota may have."""
    wanted = wanted_quota(quota, 0, 0)
    for caller in callers if quota.each_caller else (quota.tenant_id,):
        yield wanted.account_of(caller)
