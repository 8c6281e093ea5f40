"""The statements that run often must find their rows by an index, however full the tables are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from modelyard.adapters.store import SqlControlPlane, SqlStore
from modelyard.billing.usage import UsageBy, UsageQuery
from modelyard.core.clock import ManualClock
from modelyard.core.pages import PageRequest
from modelyard.deployment.reconciler import Reconciler
from modelyard.tenancy.tenant import Tenant
from tests.conformance.samples import OURS, a_deployment, a_job, a_version
from tests.databases import store_at

NOW = ManualClock().now()
SCAN = re.compile(r"\bSCAN (?!CONSTANT ROW)(\w+)")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = store_at(tmp_path / "modelyard.db")
    yield store
    store.close()


def plans(store: SqlStore, act: Callable[[], object]) -> list[str]:
    """SQLite's plan of each statement that `act` runs."""
    found: list[str] = []

    def explain(
        connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object
    ) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found.append(" / ".join(row[3] for row in rows))

    event.listen(store.engine, "before_cursor_execute", explain)
    try:
        act()
    finally:
        event.remove(store.engine, "before_cursor_execute", explain)
    return found


def claim(store: SqlStore) -> None:
    with store.begin() as tx:
        tx.queue().claim("wrk_a", NOW)


def reap(store: SqlStore) -> None:
    with store.begin() as tx:
        tx.queue().reap(NOW)


def lists(store: SqlStore) -> None:
    page = PageRequest(10, "m")
    with store.read() as tx:
        tx.jobs("tnt").list(page)
        tx.keys("tnt").list(page)
        tx.models("tnt").list(page)
        tx.datasets("tnt").list(page)
        tx.deployments("tnt").list(page)
        tx.jobs("tnt").events("job")


def look_ups(store: SqlStore) -> None:
    with store.read() as tx:
        tx.models("tnt").version_of_job("job")
        tx.deployments("tnt").find("churn")
        tx.ledger().offset("jrn")
        tx.prices("tnt").list()


def expiry(store: SqlStore) -> None:
    with store.begin() as tx:
        tx.idempotency("tnt").expire(NOW)


def sums(store: SqlStore) -> None:
    with store.read() as tx:
        for by in UsageBy:
            tx.usage("tnt").sums(UsageQuery((by,), NOW, NOW))


def wanted(store: SqlStore) -> None:
    SqlControlPlane(store, ManualClock()).wanted()


@pytest.mark.parametrize("act", [reap, lists, look_ups, expiry, sums])
def test_no_table_is_scanned(store: SqlStore, act: Callable[[SqlStore], None]) -> None:
    found = plans(store, lambda: act(store))
    assert found
    assert [plan for plan in found if SCAN.search(plan)] == []


def test_the_index_has_the_order(store: SqlStore) -> None:
    assert [plan for plan in plans(store, lambda: lists(store)) if "TEMP B-TREE" in plan] == []


def test_a_job_is_claimed_by_looking_up_whose_turn_it_is(store: SqlStore) -> None:
    with store.begin() as tx:
        tx.tenants().add(Tenant(OURS, "ours", NOW))
        tx.jobs(OURS).add(a_job())
    turns, claimed, *_ = plans(store, lambda: claim(store))
    # The tenants that wait are few, so they are counted through and sorted; jobs are not.
    assert SCAN.findall(turns) == ["anon_1"]
    assert "SEARCH jobs" in claimed
    assert "TEMP B-TREE" not in claimed


def test_what_gateways_want_is_found_by_what_is_in_force(store: SqlStore) -> None:
    revision, keys, routes, *others = plans(store, lambda: wanted(store))
    assert revision == "SCAN revision"  # its only row
    assert keys == "SEARCH api_keys USING INDEX ix_api_keys_revoked_at (revoked_at=?)"
    # Every deployment is wanted; its version is looked up.
    assert SCAN.findall(routes) == ["deployments"]
    # So are all quotas, of which there are few; what was spent of each is looked up.
    assert SCAN.findall(others[-1]) == ["quotas"]


def test_what_the_controller_does_five_times_a_second_looks_at_no_model_without_news(
    store: SqlStore,
) -> None:
    with store.begin() as tx:
        tx.tenants().add(Tenant(OURS, "ours", NOW))
        tx.models(OURS).ensure("churn", NOW)
        tx.models(OURS).add_version("churn", a_version(), NOW)
        tx.models(OURS).set_alias("churn", "champion", 1, NOW)
        for number in range(3):
            tx.deployments(OURS).put(a_deployment(f"churn-{number}"))
        tx.bump()
    reconciler = Reconciler(store, ManualClock())
    reconciler.reconcile()
    reconciler.reconcile()
    passed = plans(store, reconciler.reconcile)
    assert [SCAN.findall(plan) for plan in passed] == [
        ["revision"],
        ["gateways"],
        ["replicas"],
        ["deployments"],
    ]
    with store.begin() as tx:
        tx.bump()
    looked_up = [plan for plan in plans(store, reconciler.reconcile) if "model_versions" in plan]
    assert len(looked_up) == 1


def test_a_scan_would_be_seen(store: SqlStore) -> None:
    def scan() -> None:
        with store.engine.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM jobs WHERE message = 'x'")

    assert any(SCAN.search(plan) for plan in plans(store, scan))
