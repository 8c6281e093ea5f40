from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from modelyard.adapters.memory import MemoryLease
from modelyard.adapters.store import Lease
from modelyard.core.errors import NotFound
from modelyard.core.pages import PageRequest
from modelyard.core.uploads import Upload
from tests.conformance.samples import (
    OURS,
    START,
    a_dataset,
    a_deployment,
    a_job,
    a_key,
    a_price,
    a_version,
    an_event,
    digest,
)
from tests.conformance.stores import AnyStore, AnyTransaction, interrupted

TTL = timedelta(seconds=10)


def write_everything(tx: AnyTransaction) -> None:
    tx.keys(OURS).add(a_key())
    tx.models(OURS).ensure("churn", START)
    tx.models(OURS).add_version("churn", a_version(), START)
    tx.models(OURS).set_alias("churn", "champion", 1, START)
    tx.datasets(OURS).add_version("churn", a_dataset(), START)
    tx.uploads(OURS).add(Upload(digest("file"), 1, START))
    tx.jobs(OURS).add(a_job())
    tx.queue().claim("wrk_a", START)
    tx.deployments(OURS).put(a_deployment())
    tx.prices(OURS).add(a_price("1"))
    tx.ledger().append("jrn_a", 10, [an_event()])
    tx.idempotency(OURS).claim("key", "request", START)
    tx.bump()


def everything(tx: AnyTransaction) -> list[int]:
    page = PageRequest()
    return [
        len(tx.keys(OURS).list(page).items),
        len(tx.models(OURS).list(page).items),
        len(tx.datasets(OURS).list(page).items),
        len(tx.jobs(OURS).list(page).items),
        len(tx.deployments(OURS).list(page).items),
        len(tx.prices(OURS).list()),
        tx.ledger().offset("jrn_a"),
    ]


def test_a_transaction_that_fails_leaves_nothing(store: AnyStore) -> None:
    with interrupted(store) as tx:
        write_everything(tx)
        assert everything(tx) == [1, 1, 1, 1, 1, 1, 10]
    with store.begin() as tx:
        assert everything(tx) == [0] * 7
        with pytest.raises(NotFound):
            tx.uploads(OURS).get(digest("file"))
        assert tx.idempotency(OURS).claim("key", "another", START) is None


def test_a_transaction_that_ends_well_is_seen_whole(store: AnyStore) -> None:
    with store.begin() as tx:
        write_everything(tx)
    with store.read() as tx:
        assert everything(tx) == [1, 1, 1, 1, 1, 1, 10]


def test_what_was_changed_before_a_failure_comes_back(store: AnyStore) -> None:
    key = a_key()
    with store.begin() as tx:
        tx.keys(OURS).add(key)
        write_everything(tx)
        (job,) = tx.jobs(OURS).list(PageRequest()).items
    with interrupted(store) as tx:
        tx.keys(OURS).revoke(key.id, START)
        tx.queue().heartbeat(job.id, job.fence, START + timedelta(hours=1))
        tx.models(OURS).drop_alias("churn", "champion")
        tx.deployments(OURS).delete("churn")
    with store.read() as tx:
        assert tx.keys(OURS).get(key.id) == key
        assert tx.jobs(OURS).get(job.id) == job
        assert tx.models(OURS).alias("churn", "champion").version == 1
        assert tx.deployments(OURS).get("churn").name == "churn"


def test_a_reader_sees_one_state_to_the_end(store: AnyStore) -> None:
    with store.read() as reader:
        assert reader.keys(OURS).list(PageRequest()).items == []
        with store.begin() as tx:
            tx.keys(OURS).add(a_key())
            assert reader.keys(OURS).list(PageRequest()).items == []
        assert reader.keys(OURS).list(PageRequest()).items == []
        assert reader.models(OURS).list(PageRequest()).items == []
    with store.read() as reader:
        assert len(reader.keys(OURS).list(PageRequest()).items) == 1


def test_a_lease_has_one_holder(lease: Lease | MemoryLease) -> None:
    assert lease.acquire("controller", "a", START, TTL)
    assert not lease.acquire("controller", "b", START, TTL)
    assert lease.acquire("another", "b", START, TTL)
    later = START + TTL / 2
    assert lease.acquire("controller", "a", later, TTL)
    assert not lease.acquire("controller", "b", START + TTL, TTL)
    assert lease.acquire("controller", "b", later + TTL, TTL)
    assert not lease.acquire("controller", "a", later + TTL, TTL)


def test_a_lease_is_given_up_by_its_holder_alone(lease: Lease | MemoryLease) -> None:
    assert lease.acquire("controller", "a", START, TTL)
    lease.release("controller", "b")
    lease.release("unknown", "b")
    assert not lease.acquire("controller", "b", START, TTL)
    lease.release("controller", "a")
    assert lease.acquire("controller", "b", START, TTL)


def test_of_many_at_once_one_takes_the_lease(lease: Lease | MemoryLease) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = threads.map(lambda n: lease.acquire("controller", f"c{n}", START, TTL), range(8))
        assert sum(taken) == 1
