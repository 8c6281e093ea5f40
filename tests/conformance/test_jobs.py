from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from modelyard.core.clock import ManualClock
from modelyard.core.errors import Conflict, LostLease, NotFound
from modelyard.core.jobs import LEASE, Job, JobFailure, JobQueue, JobState
from modelyard.core.pages import PageRequest
from modelyard.core.tasks import Progress
from tests.conformance.samples import OURS, START, THEIRS, a_job
from tests.conformance.stores import AnyStore


def submit(store: AnyStore, **options: Any) -> Job:
    job = a_job(**options)
    with store.begin() as tx:
        tx.jobs(job.tenant_id).add(job)
    return job


def claim(store: AnyStore, clock: ManualClock, worker: str = "wrk_a") -> Job:
    with store.begin() as tx:
        job = tx.queue().claim(worker, clock.now())
    assert job is not None
    return job


def state_of(store: AnyStore, job: Job) -> JobState:
    with store.read() as tx:
        return tx.jobs(OURS).get(job.id).state


def test_a_job_comes_back_as_it_was_added(store: AnyStore) -> None:
    job = submit(store)
    with store.read() as tx:
        assert tx.jobs(OURS).get(job.id) == job
    with pytest.raises(Conflict), store.begin() as tx:
        tx.jobs(OURS).add(job)


def test_the_oldest_job_is_claimed_first(store: AnyStore, clock: ManualClock) -> None:
    first, second = submit(store), submit(store, tenant_id=THEIRS)
    claimed = claim(store, clock)
    assert claimed.id == first.id
    assert (claimed.state, claimed.attempt, claimed.fence) == (JobState.RUNNING, 1, 1)
    assert (claimed.worker_id, claimed.lease_until) == ("wrk_a", clock.now() + LEASE)
    assert claim(store, clock).id == second.id
    with store.begin() as tx:
        assert tx.queue().claim("wrk_a", clock.now()) is None
    with store.read() as tx:
        assert tx.jobs(OURS).get(first.id) == claimed


def test_of_a_tenants_jobs_the_highest_priority_comes_first(
    store: AnyStore, clock: ManualClock
) -> None:
    late = submit(store, priority=-1)
    plain = [submit(store) for _ in range(2)]
    urgent = [submit(store, priority=7) for _ in range(2)]
    claimed = [claim(store, clock).id for _ in range(5)]
    assert claimed == [job.id for job in (*urgent, *plain, late)]


def test_tenants_take_turns(store: AnyStore, clock: ManualClock) -> None:
    """Neither a flood nor a high priority of one keeps the other waiting."""
    flood = [submit(store, priority=100) for _ in range(6)]
    theirs = [submit(store, tenant_id=THEIRS) for _ in range(2)]
    turns = []
    for _ in range(8):
        job = claim(store, clock)
        turns.append(job.id)
        clock.advance(1)
        with store.begin() as tx:
            tx.queue().finish(job.id, job.fence, clock.now(), JobState.SUCCEEDED)
    assert turns[:4] == [flood[0].id, theirs[0].id, flood[1].id, theirs[1].id]
    assert turns[4:] == [job.id for job in flood[2:]]


def test_who_has_fewer_jobs_running_comes_first(store: AnyStore, clock: ManualClock) -> None:
    ours, running = [submit(store) for _ in range(3)], []
    for _ in range(2):
        running.append(claim(store, clock))
        clock.advance(1)
    theirs = [submit(store, tenant_id=THEIRS) for _ in range(2)]
    first = claim(store, clock)
    # They have one running, we two: although they were served last, it is their turn again.
    clock.advance(1)
    second = claim(store, clock)
    assert [first.id, second.id] == [job.id for job in theirs]
    with store.begin() as tx:
        for job in running:
            tx.queue().finish(job.id, job.fence, clock.now(), JobState.SUCCEEDED)
    assert claim(store, clock).id == ours[2].id


def test_a_job_is_claimed_by_one_of_many(store: AnyStore, clock: ManualClock) -> None:
    submitted = {submit(store).id for _ in range(6)}
    together = threading.Barrier(8)

    def work(number: int) -> list[str]:
        together.wait(timeout=10)
        claimed = []
        for _ in range(4):
            with store.begin() as tx:
                job = tx.queue().claim(f"wrk_{number}", clock.now())
            if job is not None:
                claimed.append(job.id)
        return claimed

    with ThreadPoolExecutor(8) as threads:
        claimed = [job_id for of_one in threads.map(work, range(8)) for job_id in of_one]
    assert len(claimed) == len(submitted)
    assert set(claimed) == submitted


def test_a_heartbeat_renews_the_lease(store: AnyStore, clock: ManualClock) -> None:
    submit(store)
    job = claim(store, clock)
    for _ in range(4):
        clock.advance(LEASE.total_seconds() - 1)
        with store.begin() as tx:
            assert tx.queue().heartbeat(job.id, job.fence, clock.now()) is False
            assert tx.queue().reap(clock.now()) == 0
    assert state_of(store, job) is JobState.RUNNING


def test_a_story_is_told_in_order(store: AnyStore, clock: ManualClock) -> None:
    submit(store)
    job = claim(store, clock)
    with store.begin() as tx:
        queue = tx.queue()
        queue.record(job.id, job.fence, clock.now(), [Progress("reading", 0.1)])
        queue.record(job.id, job.fence, clock.now(), [])
        queue.record(
            job.id,
            job.fence,
            clock.now() + timedelta(seconds=1),
            [Progress("fitting", 0.5, {"score": 0.75}), Progress("still fitting")],
        )
    with store.read() as tx:
        story = tx.jobs(OURS).events(job.id)
        told = tx.jobs(OURS).get(job.id)
        assert [event.seq for event in story] == [1, 2, 3]
        assert [event.message for event in story] == ["reading", "fitting", "still fitting"]
        assert story[1].data == {"score": 0.75}
        assert story[1].at == clock.now() + timedelta(seconds=1)
        assert (told.message, told.fraction) == ("still fitting", 0.5)
        assert tx.jobs(OURS).events(job.id, after=1, limit=1) == [story[1]]
        assert list(tx.jobs(THEIRS).events(job.id)) == []


def test_text_from_a_library_may_hold_anything(store: AnyStore, clock: ManualClock) -> None:
    submit(store)
    job = claim(store, clock)
    failure = JobFailure("crashed", "at byte \x00 of the file")
    with store.begin() as tx:
        tx.queue().record(
            job.id, job.fence, clock.now(), [Progress("bad\x00byte", None, {"a": "\x00"})]
        )
        tx.queue().finish(job.id, job.fence, clock.now(), JobState.FAILED, failure=failure)
    with store.read() as tx:
        assert tx.jobs(OURS).get(job.id).failure == failure
        (event,) = tx.jobs(OURS).events(job.id)
        assert event.message.startswith("bad")
        assert event.data == {"a": "\x00"}


def test_a_finished_job_has_its_result(store: AnyStore, clock: ManualClock) -> None:
    submit(store)
    job = claim(store, clock)
    clock.advance(5)
    with store.begin() as tx:
        tx.queue().finish(job.id, job.fence, clock.now(), JobState.SUCCEEDED, result={"version": 1})
    with store.read() as tx:
        done = tx.jobs(OURS).get(job.id)
    assert (done.state, done.result, done.failure) == (JobState.SUCCEEDED, {"version": 1}, None)
    assert (done.started_at, done.finished_at) == (START, clock.now())
    assert done.lease_until is None


def test_a_stale_fence_changes_nothing(store: AnyStore, clock: ManualClock) -> None:
    submit(store)
    ghost = claim(store, clock, "wrk_ghost")
    clock.advance(LEASE.total_seconds())
    with store.begin() as tx:
        assert tx.queue().reap(clock.now()) == 1
    acts: tuple[Callable[[JobQueue], object], ...] = (
        lambda queue: queue.heartbeat(ghost.id, ghost.fence, clock.now()),
        lambda queue: queue.record(ghost.id, ghost.fence, clock.now(), [Progress("boo")]),
        lambda queue: queue.finish(ghost.id, ghost.fence, clock.now(), JobState.SUCCEEDED),
        lambda queue: queue.release(ghost.id, ghost.fence, clock.now(), count=True),
        lambda queue: queue.heartbeat("job_gone", 1, clock.now()),
    )
    for act in acts:
        with pytest.raises(LostLease), store.begin() as tx:
            act(tx.queue())
    heir = claim(store, clock, "wrk_heir")
    assert (heir.attempt, heir.fence, heir.worker_id) == (2, 2, "wrk_heir")
    for act in acts:
        with pytest.raises(LostLease), store.begin() as tx:
            act(tx.queue())
    with store.read() as tx:
        assert tx.jobs(OURS).get(heir.id) == heir
        assert list(tx.jobs(OURS).events(heir.id)) == []


def test_only_leases_that_ran_out_are_reaped(store: AnyStore, clock: ManualClock) -> None:
    submit(store)
    submit(store)
    lost = claim(store, clock)
    clock.advance(1)
    kept = claim(store, clock)
    clock.advance(LEASE.total_seconds() - 1)
    with store.begin() as tx:
        assert tx.queue().reap(clock.now()) == 1
        assert tx.queue().reap(clock.now()) == 0
    assert (state_of(store, lost), state_of(store, kept)) == (JobState.QUEUED, JobState.RUNNING)


def test_a_job_is_dead_when_its_attempts_are_used_up(store: AnyStore, clock: ManualClock) -> None:
    job = submit(store, max_attempts=2)
    for _ in range(2):
        claim(store, clock)
        clock.advance(LEASE.total_seconds())
        with store.begin() as tx:
            assert tx.queue().reap(clock.now()) == 1
    with store.begin() as tx:
        assert tx.queue().claim("wrk_a", clock.now()) is None
        dead = tx.jobs(OURS).get(job.id)
    assert dead.state is JobState.DEAD
    assert dead.finished_at == clock.now()
    assert dead.failure is not None
    assert "2 attempts" in dead.failure.message


def test_a_worker_that_stops_gives_the_attempt_back(store: AnyStore, clock: ManualClock) -> None:
    submit(store, max_attempts=1)
    for fence in (1, 2, 3):
        job = claim(store, clock)
        assert (job.attempt, job.fence) == (1, fence)
        with store.begin() as tx:
            released = tx.queue().release(job.id, job.fence, clock.now(), count=False)
        assert released is JobState.QUEUED
    job = claim(store, clock)
    with store.begin() as tx:
        assert tx.queue().release(job.id, job.fence, clock.now(), count=True) is JobState.DEAD


def test_a_queued_job_is_cancelled_at_once(store: AnyStore, clock: ManualClock) -> None:
    job = submit(store)
    with store.begin() as tx:
        cancelled = tx.jobs(OURS).request_cancel(job.id, clock.now())
    assert (cancelled.state, cancelled.finished_at) == (JobState.CANCELLED, clock.now())
    with store.begin() as tx:
        assert tx.jobs(OURS).get(job.id) == cancelled
        assert tx.queue().claim("wrk_a", clock.now()) is None


def test_a_running_job_is_asked_to_stop(store: AnyStore, clock: ManualClock) -> None:
    submit(store)
    job = claim(store, clock)
    with store.begin() as tx:
        asked = tx.jobs(OURS).request_cancel(job.id, clock.now())
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    with store.begin() as tx:
        assert tx.queue().heartbeat(job.id, job.fence, clock.now()) is True
        tx.queue().finish(job.id, job.fence, clock.now(), JobState.CANCELLED)
    assert state_of(store, job) is JobState.CANCELLED


@pytest.mark.parametrize("way", ["reap", "release"])
def test_a_job_to_be_cancelled_does_not_queue_again(
    store: AnyStore, clock: ManualClock, way: str
) -> None:
    submit(store)
    job = claim(store, clock)
    with store.begin() as tx:
        tx.jobs(OURS).request_cancel(job.id, clock.now())
    clock.advance(LEASE.total_seconds())
    with store.begin() as tx:
        if way == "reap":
            tx.queue().reap(clock.now())
        else:
            tx.queue().release(job.id, job.fence, clock.now(), count=False)
    assert state_of(store, job) is JobState.CANCELLED


@pytest.mark.parametrize("state", [state for state in JobState if state.final])
def test_a_final_state_stays(store: AnyStore, clock: ManualClock, state: JobState) -> None:
    submit(store)
    job = claim(store, clock)
    with store.begin() as tx:
        tx.queue().finish(job.id, job.fence, clock.now(), state)
    with store.begin() as tx:
        before = tx.jobs(OURS).get(job.id)
        assert tx.jobs(OURS).request_cancel(job.id, clock.now()) == before
        with pytest.raises(LostLease):
            tx.queue().finish(job.id, job.fence, clock.now(), JobState.FAILED)
    assert state_of(store, job) is state


def test_another_tenants_job_is_not_there(store: AnyStore, clock: ManualClock) -> None:
    job = submit(store, tenant_id=THEIRS)
    with store.begin() as tx:
        assert tx.jobs(OURS).list(PageRequest()).items == []
        with pytest.raises(NotFound):
            tx.jobs(OURS).get(job.id)
        with pytest.raises(NotFound):
            tx.jobs(OURS).request_cancel(job.id, clock.now())
    with store.read() as tx:
        assert tx.jobs(THEIRS).get(job.id) == job


def test_jobs_are_listed_newest_first_while_jobs_are_added(store: AnyStore) -> None:
    submitted = [submit(store) for _ in range(5)]
    with store.read() as tx:
        first = tx.jobs(OURS).list(PageRequest(3))
    submit(store)
    with store.read() as tx:
        rest = tx.jobs(OURS).list(PageRequest.parse(3, first.next_cursor))
    assert [*first.items, *rest.items] == submitted[::-1]
