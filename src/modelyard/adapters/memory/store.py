"""Transactions over a state in memory: a copy is changed, and takes the state's place at commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from modelyard.adapters.memory.catalogue import (
    MemoryCatalogue,
    MemoryListings,
    MemorySubscriptions,
)
from modelyard.adapters.memory.datasets import MemoryDatasets
from modelyard.adapters.memory.deployments import MemoryBoard, MemoryDeployments
from modelyard.adapters.memory.idempotency import MemoryIdempotency
from modelyard.adapters.memory.jobs import MemoryJobs, MemoryQueue
from modelyard.adapters.memory.keys import MemoryKeys, MemoryTenants
from modelyard.adapters.memory.models import MemoryModels
from modelyard.adapters.memory.people import MemoryMembers, MemoryUsers
from modelyard.adapters.memory.providers import MemoryProviders
from modelyard.adapters.memory.quotas import MemoryBudgets, MemoryQuotas
from modelyard.adapters.memory.state import State
from modelyard.adapters.memory.uploads import MemoryUploads
from modelyard.adapters.memory.usage import MemoryLedger, MemoryPrices, MemoryUsage
from modelyard.core.errors import Unavailable

_WAIT: Final = 5.0


class MemoryTransaction:
    """One transaction over a state of its own."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._bumped = False

    def tenants(self) -> MemoryTenants:
        return MemoryTenants(self.state)

    def keys(self, tenant_id: str) -> MemoryKeys:
        return MemoryKeys(self.state, tenant_id)

    def users(self) -> MemoryUsers:
        return MemoryUsers(self.state)

    def members(self, tenant_id: str) -> MemoryMembers:
        return MemoryMembers(self.state, tenant_id)

    def listings(self, tenant_id: str) -> MemoryListings:
        return MemoryListings(self.state, tenant_id)

    def catalogue(self, tenant_id: str) -> MemoryCatalogue:
        return MemoryCatalogue(self.state, tenant_id)

    def subscriptions(self, tenant_id: str) -> MemorySubscriptions:
        return MemorySubscriptions(self.state, tenant_id)

    def models(self, tenant_id: str) -> MemoryModels:
        return MemoryModels(self.state, tenant_id)

    def datasets(self, tenant_id: str) -> MemoryDatasets:
        return MemoryDatasets(self.state, tenant_id)

    def uploads(self, tenant_id: str) -> MemoryUploads:
        return MemoryUploads(self.state, tenant_id)

    def jobs(self, tenant_id: str) -> MemoryJobs:
        return MemoryJobs(self.state, tenant_id)

    def queue(self) -> MemoryQueue:
        return MemoryQueue(self.state)

    def deployments(self, tenant_id: str) -> MemoryDeployments:
        return MemoryDeployments(self.state, tenant_id)

    def providers(self, tenant_id: str) -> MemoryProviders:
        return MemoryProviders(self.state, tenant_id)

    def board(self) -> MemoryBoard:
        return MemoryBoard(self.state)

    def prices(self, tenant_id: str) -> MemoryPrices:
        return MemoryPrices(self.state, tenant_id)

    def quotas(self, tenant_id: str) -> MemoryQuotas:
        return MemoryQuotas(self.state, tenant_id)

    def budgets(self) -> MemoryBudgets:
        return MemoryBudgets(self.state)

    def usage(self, tenant_id: str) -> MemoryUsage:
        return MemoryUsage(self.state, tenant_id)

    def ledger(self) -> MemoryLedger:
        return MemoryLedger(self.state)

    def idempotency(self, tenant_id: str) -> MemoryIdempotency:
        return MemoryIdempotency(self.state, tenant_id)

    def revision(self) -> int:
        """How often what gateways and controller follow has changed."""
        return self.state.revision

    def bump(self) -> None:
        """Raise the revision, once, when this commits."""
        if not self._bumped:
            self.state.revision += 1
            self._bumped = True


class MemoryStore:
    """A store without a database. Safe to share between threads; one writes at a time."""

    def __init__(self) -> None:
        self._state = State()
        self._writing = threading.Lock()

    @contextmanager
    def begin(self) -> Iterator[MemoryTransaction]:
        """A transaction that may write. Raises Unavailable when another does not end."""
        if not self._writing.acquire(timeout=_WAIT):
            raise Unavailable("the store is busy; try again")
        try:
            transaction = MemoryTransaction(self._state.copy())
            yield transaction
            self._state = transaction.state
        finally:
            self._writing.release()

    @contextmanager
    def read(self) -> Iterator[MemoryTransaction]:
        """A transaction that only reads, on one consistent state."""
        yield MemoryTransaction(self._state.copy())

    def close(self) -> None:
        """There is nothing to close."""
