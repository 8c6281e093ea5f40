"""Named leases: at most one holder at a time, across processes and hosts."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, or_

from modelyard.adapters.store.tables import leases
from modelyard.adapters.store.tenant_rows import upsert, was_written
from modelyard.adapters.store.transaction import SqlStore


class Lease:
    """The leases of one database. Hosts must agree on the time to well within a lease's length."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def acquire(self, name: str, holder: str, now: datetime, ttl: timedelta) -> bool:
        """Take or renew the lease; False while another holds it."""
        with self._store.connection(writes=True) as connection:
            taken = upsert(connection.dialect, leases).values(
                name=name, holder=holder, until=now + ttl
            )
            return was_written(
                connection,
                taken.on_conflict_do_update(
                    index_elements=[leases.c.name],
                    set_={"holder": taken.excluded.holder, "until": taken.excluded.until},
                    where=or_(leases.c.holder == holder, leases.c.until <= now),
                ),
            )

    def release(self, name: str, holder: str) -> None:
        """Give the lease up, if it is still ours."""
        with self._store.connection(writes=True) as connection:
            connection.execute(
                delete(leases).where(leases.c.name == name, leases.c.holder == holder)
            )
