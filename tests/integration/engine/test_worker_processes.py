"""Workers as processes over SQLite: what becomes of jobs when any of them is killed."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.adapters.store import SqlStore
from modelyard.core.ids import JOB, new_id
from modelyard.core.jobs import Job, JobState
from modelyard.tenancy.tenant import Tenant
from tests.databases import store_at
from tests.integration.engine.living import alive
from tests.integration.engine.working import START, FastClock

SCRIPT = Path(__file__).with_name("working.py")
TENANT = "tnt_1"
SECONDS_TO_WAIT = 45


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = store_at(tmp_path / "modelyard.db")
    with store.begin() as tx:
        tx.tenants().add(Tenant(TENANT, "default", START))
    yield store
    store.close()


class Workers:
    """Worker processes on one home; all are killed at the end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.running: list[subprocess.Popen[bytes]] = []
        self.started = 0

    def start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        command = [sys.executable, str(SCRIPT), str(self.home), f"wrk_{self.started}"]
        process = subprocess.Popen(command)
        self.running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.running.remove(process)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    for process in list(workers.running):
        workers.kill(process)


def submit(store: SqlStore, *, max_attempts: int = 3, **spec: Any) -> str:
    job = Job(new_id(JOB), TENANT, "word", spec, FastClock().now(), max_attempts=max_attempts)
    with store.begin() as tx:
        tx.jobs(TENANT).add(job)
    return job.id


def job_of(store: SqlStore, job_id: str) -> Job:
    with store.read() as tx:
        return tx.jobs(TENANT).get(job_id)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def story(store: SqlStore, job_id: str) -> list[str]:
    with store.read() as tx:
        return [event.message for event in tx.jobs(TENANT).events(job_id)]


def pid_of_task(store: SqlStore, job_id: str) -> int:
    until(lambda: any(line.startswith("pid ") for line in story(store, job_id)))
    lines = [line for line in story(store, job_id) if line.startswith("pid ")]
    return int(lines[-1].removeprefix("pid "))


def versions(store: SqlStore) -> int:
    with store.read() as tx:
        return tx.models(TENANT).get("words").latest


def scratch_is_empty(home: Path) -> bool:
    return not list((home / "scratch").iterdir())


def test_a_job_is_done(store: SqlStore, workers: Workers) -> None:
    job_id = submit(store)
    workers.start()
    until(lambda: job_of(store, job_id).state.final)
    job = job_of(store, job_id)
    assert (job.state, job.attempt, job.result) == (JobState.SUCCEEDED, 1, {"version": 1})
    begun, first = story(store, job_id)[:2]
    assert begun == "a worker begins"
    assert first.startswith("pid ")
    until(lambda: scratch_is_empty(workers.home))


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"how": "badly"}, "invalid", "the word is bad"),
        ({"refuse": True}, "invalid", "this job is refused"),
    ],
)
def test_what_would_be_wrong_again_fails_at_once(
    spec: dict[str, Any], code: str, message: str, store: SqlStore, workers: Workers
) -> None:
    job_id = submit(store, **spec)
    workers.start()
    until(lambda: job_of(store, job_id).state.final)
    job = job_of(store, job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert job.failure is not None
    assert (job.failure.code, job.failure.message) == (code, message)


def test_a_task_that_always_crashes_is_dead_after_its_attempts(
    store: SqlStore, workers: Workers
) -> None:
    job_id = submit(store, how="abort")
    workers.start()
    until(lambda: job_of(store, job_id).state.final)
    job = job_of(store, job_id)
    assert (job.state, job.attempt) == (JobState.DEAD, 3)
    assert job.failure is not None
    assert "SIGABRT" in job.failure.message
    assert len([line for line in story(store, job_id) if "of 3: the task's" in line]) == 3


def test_a_cancelled_task_is_killed(store: SqlStore, workers: Workers) -> None:
    job_id = submit(store, seconds=60)
    workers.start()
    task = pid_of_task(store, job_id)
    with store.begin() as tx:
        tx.jobs(TENANT).request_cancel(job_id, FastClock().now())
    until(lambda: job_of(store, job_id).state.final)
    assert job_of(store, job_id).state is JobState.CANCELLED
    assert not alive(task)


def test_a_stopped_worker_gives_its_job_back(store: SqlStore, workers: Workers) -> None:
    job_id = submit(store, seconds=60)
    process = workers.start()
    task = pid_of_task(store, job_id)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
    assert not alive(task)
    job = job_of(store, job_id)
    # At once, not at the end of the lease, and the attempt does not count.
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert scratch_is_empty(workers.home)


def test_a_killed_workers_job_is_taken_up_by_another(store: SqlStore, workers: Workers) -> None:
    job_id = submit(store, seconds=1)
    first = workers.start()
    task = pid_of_task(store, job_id)
    workers.start()
    workers.kill(first)
    until(lambda: not alive(task))
    until(lambda: job_of(store, job_id).state.final)
    job = job_of(store, job_id)
    assert (job.state, job.attempt, job.worker_id) == (JobState.SUCCEEDED, 2, "wrk_2")
    assert versions(store) == 1
    workers.start()  # sweeps what the first one left
    until(lambda: scratch_is_empty(workers.home))


def test_a_worker_that_was_paused_past_its_lease_changes_nothing(
    store: SqlStore, workers: Workers
) -> None:
    job_id = submit(store, seconds=1)
    first = workers.start()
    task = pid_of_task(store, job_id)
    with store.begin():
        # Not in the middle of a transaction: it would keep everybody waiting for its lock.
        first.send_signal(signal.SIGSTOP)
    workers.start()
    until(lambda: job_of(store, job_id).state.final)
    first.send_signal(signal.SIGCONT)
    until(lambda: not alive(task))
    time.sleep(0.5)
    job = job_of(store, job_id)
    assert (job.state, job.attempt, job.worker_id) == (JobState.SUCCEEDED, 2, "wrk_2")
    assert versions(store) == 1
    # It is still of use.
    again = submit(store)
    until(lambda: job_of(store, again).state.final)
    assert job_of(store, again).state is JobState.SUCCEEDED


def test_a_locked_database_stops_neither_the_task_nor_the_worker(
    store: SqlStore, workers: Workers
) -> None:
    job_id = submit(store, seconds=0.5)
    process = workers.start()
    task = pid_of_task(store, job_id)
    with store.begin() as tx:
        tx.bump()
        # Longer than SQLite's own patience of five seconds, and than the lease.
        time.sleep(6)
        assert not alive(task)
        assert process.poll() is None
    until(lambda: job_of(store, job_id).state.final)
    assert job_of(store, job_id).state is JobState.SUCCEEDED
    assert versions(store) == 1
    assert process.poll() is None


@pytest.mark.slow
def test_random_kills_leave_every_job_done_exactly_once(store: SqlStore, workers: Workers) -> None:
    dice = random.Random()
    # Kills use up attempts; that is another test's matter.
    jobs = [submit(store, max_attempts=99, seconds=dice.uniform(0, 0.4)) for _ in range(16)]
    workers.start()
    workers.start()
    for _ in range(20):
        time.sleep(dice.uniform(0.3, 1.3))
        workers.kill(dice.choice(workers.running))
        workers.start()
    until(lambda: all(job_of(store, job_id).state.final for job_id in jobs))
    ended = [job_of(store, job_id) for job_id in jobs]
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    numbers = [job.result["version"] for job in ended if job.result]
    assert sorted(numbers) == list(range(1, len(jobs) + 1))
    assert versions(store) == len(jobs)
    # The kills did hit jobs at work.
    assert sum(job.attempt for job in ended) > len(jobs)
