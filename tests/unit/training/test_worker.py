"""The worker over the store in memory, with a database that fails at the worst moments."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelyard.adapters.memory import MemoryStore, MemoryTransaction
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Conflict, Invalid, Unavailable
from modelyard.core.jobs import LEASE, Job, JobState
from modelyard.core.tasks import TIMED_OUT, Limits, Outcome, Progress, Report, RunningTask
from modelyard.registry.card import Card
from modelyard.registry.version import Lineage, NewVersion
from modelyard.tenancy.tenant import Tenant
from modelyard.training.attempt import Completion, Pace
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.ports import TrainingTransaction
from modelyard.training.scratch import ScratchRoot
from modelyard.training.worker import Worker

TENANT = "tnt_1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(seconds=5)
PACE = Pace(poll=0.005, story=0.005, heartbeat=0.01, reap=0.0, retry=0.001, retry_most=0.01)


class FailingStore(MemoryStore):
    """Asks `fault` before each writing transaction and after each commit, which may raise."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[str], None] = lambda moment: None

    @contextmanager
    def begin(self) -> Iterator[MemoryTransaction]:
        self.fault("before")
        with super().begin() as tx:
            yield tx
        # The commit went through, but the answer was lost.
        self.fault("after")


class Done:
    """A task that has ended already."""

    def __init__(self, told: list[Progress], outcome: Outcome) -> None:
        self._told = told
        self._outcome = outcome

    def progress(self, timeout: float) -> list[Progress]:
        told, self._told = self._told, []
        return told

    def outcome(self) -> Outcome | None:
        return self._outcome

    def kill(self) -> None:
        return


class HereRunner:
    """Runs tasks in this process."""

    def __init__(self, task: Callable[[Path, Report], Outcome]) -> None:
        self._task = task

    def start(self, task: str, scratch: Path, limits: Limits = LIMITS) -> RunningTask:
        told: list[Progress] = []
        return Done(told, self._task(scratch, told.append))


class MakesVersion:
    task = "any"

    def __init__(self, complete: Callable[[], None] = lambda: None) -> None:
        self._complete = complete

    def prepare(self, job: Job, scratch: Path) -> Limits:
        (scratch / "input").write_text("x")
        return LIMITS

    def complete(self, job: Job, scratch: Path) -> Completion:
        def complete(tx: TrainingTransaction) -> dict[str, Any]:
            self._complete()
            models = tx.models(TENANT)
            models.ensure("m", NOW)
            lineage = Lineage(source="training", code_version="0", job_id=job.id)
            new = NewVersion(None, (), lineage, Card(task="t", algorithm="a"))
            return {"version": models.add_version("m", new, NOW).number}

        return complete


def well(scratch: Path, report: Report) -> Outcome:
    report(Progress("working", 0.5))
    return Outcome(ok=True)


@pytest.fixture
def store() -> FailingStore:
    store = FailingStore()
    with store.begin() as tx:
        tx.tenants().add(Tenant(TENANT, "default", NOW))
    return store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def submit(store: MemoryStore, job_id: str = "job_1", kind: str = "word") -> None:
    with MemoryStore.begin(store) as tx:
        tx.jobs(TENANT).add(Job(job_id, TENANT, kind, {}, NOW))


def job_of(store: MemoryStore, job_id: str = "job_1") -> Job:
    with store.read() as tx:
        return tx.jobs(TENANT).get(job_id)


def run(
    store: MemoryStore,
    clock: ManualClock,
    tmp_path: Path,
    *,
    task: Callable[[Path, Report], Outcome] = well,
    handler: MakesVersion | None = None,
    seconds: float = 20,
) -> None:
    """Until no job is open."""
    stop, over = threading.Event(), threading.Event()

    def watch() -> None:
        for _ in range(int(seconds / 0.005)):
            if over.wait(0.005):
                return
            with store.read() as tx:
                if all(job.state.final for job in tx.state.jobs.values()):
                    break
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        Worker(
            store=store,
            runner=HereRunner(task),
            handlers={"word": handler or MakesVersion()},
            scratch=ScratchRoot(tmp_path / "scratch"),
            checkpoints=Checkpoints(tmp_path / "checkpoints"),
            clock=clock,
            worker_id="wrk_1",
            pace=PACE,
        ).run(stop)
    finally:
        over.set()
        watcher.join()


def latest(store: MemoryStore) -> int:
    with store.read() as tx:
        return tx.models(TENANT).get("m").latest


def test_the_end_of_the_story_is_kept(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    submit(store)
    run(store, clock, tmp_path)
    job = job_of(store)
    assert (job.state, job.fraction, job.message) == (JobState.SUCCEEDED, 0.5, "working")


def test_an_unknown_kind_fails(store: FailingStore, clock: ManualClock, tmp_path: Path) -> None:
    submit(store, kind="magic")
    run(store, clock, tmp_path)
    job = job_of(store)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.code == "unsupported"


def test_a_failure_in_the_completion_leaves_nothing_half_done(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise Conflict("the alias is taken")

    submit(store)
    run(store, clock, tmp_path, handler=MakesVersion(refuse))
    job = job_of(store)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert (job.failure.code, job.failure.message) == ("conflict", "the alias is taken")
    with store.read() as tx:
        assert tx.state.models == {}


def test_an_error_of_ours_is_tried_again_and_then_given_up(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    def break_down(scratch: Path, report: Report) -> Outcome:
        raise OSError("no space left on /device")

    submit(store)
    run(store, clock, tmp_path, task=break_down)
    job = job_of(store)
    assert (job.state, job.attempt) == (JobState.DEAD, 3)
    assert job.failure is not None
    assert "device" not in job.failure.message


def test_a_lost_answer_to_the_last_commit_does_no_harm(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    lost: list[str] = []

    def fault(moment: str) -> None:
        if moment == "after" and job_of(store).state.final and not lost:
            lost.append(moment)
            raise Unavailable("the answer was lost")

    submit(store)
    store.fault = fault
    run(store, clock, tmp_path)
    assert lost
    assert job_of(store).state is JobState.SUCCEEDED
    assert latest(store) == 1


def test_a_completion_after_the_lease_ran_out_is_dropped(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    attempts: list[Path] = []

    def slow(scratch: Path, report: Report) -> Outcome:
        attempts.append(scratch)
        if len(attempts) == 1:
            # Another process thinks that this worker is dead, and takes the job to its end.
            clock.advance(LEASE.total_seconds() + 1)
            with MemoryStore.begin(store) as tx:
                assert tx.queue().reap(clock.now()) == 1
        return Outcome(ok=True)

    submit(store)
    run(store, clock, tmp_path, task=slow)
    job = job_of(store)
    assert (job.state, job.attempt, job.fence) == (JobState.SUCCEEDED, 2, 2)
    assert latest(store) == 1


def test_a_dead_workers_job_does_not_wait_until_the_queue_is_empty(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    submit(store, "job_1")
    with MemoryStore.begin(store) as tx:
        assert tx.queue().claim("wrk_dead", clock.now()) is not None
    clock.advance(LEASE.total_seconds() + 1)
    for number in range(2, 6):
        submit(store, f"job_{number}")
    still_queued: list[int] = []

    def task(scratch: Path, report: Report) -> Outcome:
        with store.read() as tx:
            if tx.jobs(TENANT).get("job_1").state is JobState.RUNNING:
                still_queued.append(len([j for j in tx.state.jobs.values() if not j.state.final]))
        return Outcome(ok=True)

    run(store, clock, tmp_path, task=task)
    assert still_queued == [5]


@pytest.mark.parametrize("seed", range(10))
def test_a_database_that_comes_and_goes_loses_and_doubles_nothing(
    seed: int, store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    dice = random.Random(seed)

    def fault(moment: str) -> None:
        clock.advance(dice.uniform(0, 3))
        if dice.random() < 0.3:
            kind = dice.choice([Unavailable, RuntimeError])
            raise kind(f"gone {moment}")

    jobs = [f"job_{number}" for number in range(8)]
    for job_id in jobs:
        with MemoryStore.begin(store) as tx:
            tx.jobs(TENANT).add(Job(job_id, TENANT, "word", {}, NOW, max_attempts=1000))
    store.fault = fault
    run(store, clock, tmp_path)
    ended = [job_of(store, job_id) for job_id in jobs]
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    numbers = [job.result["version"] for job in ended if job.result]
    assert sorted(numbers) == list(range(1, len(jobs) + 1))
    assert latest(store) == len(jobs)


def test_a_refusal_by_the_task_is_final(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    def refuse(scratch: Path, report: Report) -> Outcome:
        assert (scratch / "input").read_text() == "x"
        return Outcome(ok=False, code=Invalid.code, message="row 3 is wrong")

    submit(store)
    run(store, clock, tmp_path, task=refuse)
    job = job_of(store)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_attempt_that_took_too_long_is_not_repeated(
    store: FailingStore, clock: ManualClock, tmp_path: Path
) -> None:
    def stay(scratch: Path, report: Report) -> Outcome:
        return Outcome(ok=False, code=TIMED_OUT, message="longer than 5 s", crashed=True)

    submit(store)
    run(store, clock, tmp_path, task=stay)
    job = job_of(store)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert job.failure is not None
    assert job.failure.code == TIMED_OUT
