"""Every entry of the ledger about requests, for others' billing systems."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Protocol

import msgspec

from modelyard.billing.usage import Side
from modelyard.core.clock import Clock, microseconds
from modelyard.core.errors import Invalid
from modelyard.core.events import PredictionMade
from modelyard.core.ports import Store

PAGE: Final = 2_000

Place = tuple[int, str]
"""Where an entry stands: its time and its request's id."""


class Entry(msgspec.Struct, frozen=True):
    """One request, and the price that was in force when it began."""

    event: PredictionMade
    price_id: str | None

    @property
    def place(self) -> Place:
        """Entries are in the order of these."""
        return self.event.at, self.event.request_id


class UsageEntries(Protocol):
    """The ledger of one tenant, entry by entry."""

    def entries(self, side: Side, after: Place, until: int, limit: int) -> list[Entry]:
        """Those after a place that began before `until` (microseconds since 1970), in order."""
        ...


class ExportTransaction(Protocol):
    """A transaction over entries."""

    def usage(self, tenant_id: str) -> UsageEntries: ...


class UsageExporter:
    """Reads entries page by page, so that neither memory nor a transaction grows with them."""

    def __init__(self, store: Store[ExportTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def pages(
        self, tenant_id: str, side: Side, since: datetime | None, until: datetime | None
    ) -> Iterator[list[Entry]]:
        """What is in the ledger of requests that began in [since, until); until now if not said.

        Raises:
            Invalid: `since` is not before `until`.
        """
        end = until or self._clock.now()
        if since is not None and since >= end:
            raise Invalid("since must be before until")
        begin: Place = (0 if since is None else microseconds(since), "")
        return self._read(tenant_id, side, begin, microseconds(end))

    def _read(self, tenant_id: str, side: Side, after: Place, until: int) -> Iterator[list[Entry]]:
        while True:
            with self._store.read() as tx:
                page = tx.usage(tenant_id).entries(side, after, until, PAGE)
            if page:
                yield page
            if len(page) < PAGE:
                return
            after = page[-1].place
