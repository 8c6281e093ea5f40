"""From the gateways' journal files into the ledger, each record exactly once.

The ledger moves a file's offset in the same transaction in which it adds the file's records, so
a process killed at any point repeats nothing and skips nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from modelyard.billing.ports import BillingTransaction, UsageSource
from modelyard.core.events import PredictionMade
from modelyard.core.journal import unframe
from modelyard.core.ports import Store

_log = logging.getLogger(__name__)

CHUNK: Final = 4 << 20


Tx = TypeVar("Tx", bound=BillingTransaction)


class Ingester(Generic[Tx]):
    """Reads what is new in the journal files. `also` is told, in the ledger's own transaction, of
    all that goes into it.
    """

    def __init__(
        self,
        store: Store[Tx],
        source: UsageSource,
        also: Callable[[Tx, Sequence[PredictionMade]], None] = lambda tx, events: None,
    ) -> None:
        self._store = store
        self._source = source
        self._also = also

    def ingest(self) -> int:
        """Bring in all whole records that are new; return how many there were."""
        return sum(self._file(journal_id, size) for journal_id, size in self._source.journals())

    def _file(self, journal_id: str, size: int) -> int:
        with self._store.read() as tx:
            offset = tx.ledger().offset(journal_id)
        count = 0
        while offset < size:
            data = self._source.read(journal_id, offset, CHUNK)
            records = list(unframe(data))
            if not records:
                break
            end = offset + records[-1][0]
            with self._store.begin() as tx:
                events = [event for _, event in records]
                tx.ledger().append(journal_id, end, events)
                self._also(tx, events)
            offset = end
            count += len(records)
        if self._source.retire(journal_id, offset):
            _log.info("journal ingested", extra={"journal": journal_id, "bytes": offset})
        return count
