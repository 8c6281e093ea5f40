"""Named leases: at most one holder at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

from modelyard.adapters.memory.store import MemoryStore


class MemoryLease:
    """The leases of one store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def acquire(self, name: str, holder: str, now: datetime, ttl: timedelta) -> bool:
        """Take or renew the lease; False while another holds it."""
        with self._store.begin() as tx:
            held_by, until = tx.state.leases.get(name, (holder, now))
            if held_by != holder and until > now:
                return False
            tx.state.leases[name] = (holder, now + ttl)
            return True

    def release(self, name: str, holder: str) -> None:
        """Give the lease up, if it is still ours."""
        with self._store.begin() as tx:
            if tx.state.leases.get(name, ("",))[0] == holder:
                del tx.state.leases[name]
