"""What the stores under test have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from modelyard.adapters.memory import MemoryStore, MemoryTransaction
from modelyard.adapters.store import SqlStore
from modelyard.adapters.store.transaction import SqlTransaction

AnyStore = SqlStore | MemoryStore
AnyTransaction = SqlTransaction | MemoryTransaction


class Interrupted(Exception):
    """What ends a transaction that is to leave nothing."""


@contextmanager
def interrupted(store: AnyStore) -> Iterator[AnyTransaction]:
    """A transaction that fails at its end."""
    with suppress(Interrupted), store.begin() as tx:
        yield tx
        raise Interrupted
