"""The stores that must behave alike, each empty but for two tenants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from modelyard.adapters.memory import MemoryControlPlane, MemoryLease, MemoryStore
from modelyard.adapters.store import Lease, SqlControlPlane, SqlStore, open_store
from modelyard.adapters.store.tables import metadata, revision
from modelyard.core.clock import ManualClock
from modelyard.tenancy.tenant import Tenant
from tests.conformance.samples import OURS, THEIRS
from tests.conformance.stores import AnyStore
from tests.databases import store_at
from tests.postgres import Server


@pytest.fixture(scope="session")
def postgres_store(postgres_server: Server) -> Iterator[SqlStore]:
    store = open_store(postgres_server.url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SqlStore]:
    store = store_at(tmp_path / "modelyard.db")
    yield store
    store.close()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> AnyStore:
    store: AnyStore
    if request.param == "memory":
        store = MemoryStore()
    else:
        store = request.getfixturevalue(f"{request.param}_store")
    if request.param == "postgres":
        _empty(store)
    with store.begin() as tx:
        tx.tenants().add(Tenant(OURS, "ours", ManualClock().now()))
        tx.tenants().add(Tenant(THEIRS, "theirs", ManualClock().now()))
    return store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def control(store: AnyStore, clock: ManualClock) -> SqlControlPlane | MemoryControlPlane:
    if isinstance(store, MemoryStore):
        return MemoryControlPlane(store, clock)
    return SqlControlPlane(store, clock)


@pytest.fixture
def lease(store: AnyStore) -> Lease | MemoryLease:
    return MemoryLease(store) if isinstance(store, MemoryStore) else Lease(store)


def _empty(store: AnyStore) -> None:
    assert isinstance(store, SqlStore)
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    with store.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {tables}"))
        connection.execute(insert(revision).values(id=1, number=0))
