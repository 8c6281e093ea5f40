from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from modelyard.core.clock import ManualClock
from modelyard.core.errors import Conflict, Mismatch
from modelyard.core.idempotency import ABANDONED, KEEP, StoredAnswer
from tests.conformance.samples import OURS, THEIRS
from tests.conformance.stores import AnyStore

ANSWER = StoredAnswer(201, "application/json", b'{"id":"\x00\xff"}')


def claim(
    store: AnyStore, clock: ManualClock, request: str = "request", tenant_id: str = OURS
) -> StoredAnswer | None:
    with store.begin() as tx:
        return tx.idempotency(tenant_id).claim("key", request, clock.now())


def test_the_second_request_gets_the_firsts_answer(store: AnyStore, clock: ManualClock) -> None:
    assert claim(store, clock) is None
    with store.begin() as tx:
        tx.idempotency(OURS).settle("key", ANSWER)
    clock.advance(ABANDONED.total_seconds() * 2)
    assert claim(store, clock) == ANSWER
    assert claim(store, clock) == ANSWER


def test_another_request_with_the_key_is_refused(store: AnyStore, clock: ManualClock) -> None:
    claim(store, clock)
    with pytest.raises(Mismatch):
        claim(store, clock, "another")
    with store.begin() as tx:
        tx.idempotency(OURS).settle("key", ANSWER)
    with pytest.raises(Mismatch):
        claim(store, clock, "another")
    assert claim(store, clock) == ANSWER


def test_while_the_first_request_runs_the_second_waits(store: AnyStore, clock: ManualClock) -> None:
    claim(store, clock)
    clock.advance(ABANDONED.total_seconds() - 0.000001)
    with pytest.raises(Conflict):
        claim(store, clock)


def test_an_abandoned_claim_is_taken_over_by_one(store: AnyStore, clock: ManualClock) -> None:
    claim(store, clock)
    clock.advance(ABANDONED.total_seconds())
    with pytest.raises(Mismatch):
        claim(store, clock, "another")
    assert claim(store, clock) is None
    with pytest.raises(Conflict):
        claim(store, clock)


def test_of_many_at_once_one_claims_the_key(store: AnyStore, clock: ManualClock) -> None:
    def ask(_: int) -> bool:
        try:
            return claim(store, clock) is None
        except Conflict:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 1


def test_a_dropped_claim_is_new_again(store: AnyStore, clock: ManualClock) -> None:
    claim(store, clock)
    with store.begin() as tx:
        tx.idempotency(OURS).drop("key")
    assert claim(store, clock, "another") is None


def test_an_answer_is_not_dropped(store: AnyStore, clock: ManualClock) -> None:
    claim(store, clock)
    with store.begin() as tx:
        tx.idempotency(OURS).settle("key", ANSWER)
        tx.idempotency(OURS).drop("key")
    assert claim(store, clock) == ANSWER


def test_each_tenant_has_keys_of_its_own(store: AnyStore, clock: ManualClock) -> None:
    claim(store, clock)
    assert claim(store, clock, "another", THEIRS) is None
    with store.begin() as tx:
        tx.idempotency(THEIRS).settle("key", ANSWER)
        tx.idempotency(THEIRS).drop("key")
    with pytest.raises(Conflict):
        claim(store, clock)


def test_keys_are_kept_for_as_long_as_promised(store: AnyStore, clock: ManualClock) -> None:
    assert timedelta(hours=24) <= KEEP
    claim(store, clock)
    claim(store, clock, tenant_id=THEIRS)
    clock.advance(KEEP.total_seconds())
    with store.begin() as tx:
        assert tx.idempotency(OURS).expire(clock.now()) == 0
    clock.advance(0.000001)
    with store.begin() as tx:
        assert tx.idempotency(OURS).expire(clock.now()) == 1
    assert claim(store, clock, "another") is None
