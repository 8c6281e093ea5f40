"""The meter of what is used of the platform itself: training time and storage.

Each entry has an id that follows from what it is of, so that measuring again adds nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol

from modelyard.core.clock import Clock
from modelyard.core.ports import Store

LOOK_BACK: Final = timedelta(days=7)
"""How long ago a job may have ended that has not been metered yet."""
HOUR: Final = timedelta(hours=1)


class PlatformLedger(Protocol):
    """What is used of the platform, across tenants. Append-only.

    The price of each entry is the platform's that was in force at its time.
    """

    def add_training(self, since: datetime) -> int:
        """Add what is charged for each training job that ended since then
        (`core.metering.charged_training`). Returns how many were new.
        """
        ...

    def add_storage(self, hour: datetime) -> int:
        """Add what each tenant's models and data sets take up now, for the hour that began then.
        Returns how many tenants were new.
        """
        ...


class MeteringTransaction(Protocol):
    """A transaction over the platform's ledger."""

    def platform_ledger(self) -> PlatformLedger: ...


class Meter:
    """Measures. Run by one process at a time."""

    def __init__(self, store: Store[MeteringTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._hour: datetime | None = None

    def measure(self) -> int:
        """Add what is new: jobs that have ended, and once an hour the storage."""
        now = self._clock.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        with self._store.begin() as tx:
            count = tx.platform_ledger().add_training(now - LOOK_BACK)
            if hour != self._hour:
                count += tx.platform_ledger().add_storage(hour)
        self._hour = hour
        return count
