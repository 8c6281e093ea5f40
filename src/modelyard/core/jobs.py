"""Durable jobs: submitted once, attempted until they end, fenced against ghosts.

A worker *claims* a queued job, which raises its fence and gives the worker a lease. Every later
write names the fence, so a worker that lost its lease (paused, cut off, thought dead) changes
nothing. A job whose lease ran out goes back to the queue until its attempts are used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from modelyard.core.errors import LostLease
from modelyard.core.pages import Page, PageRequest
from modelyard.core.tasks import Progress

LEASE: Final = timedelta(seconds=15)
HEARTBEAT: Final = timedelta(seconds=3)
MAX_ATTEMPTS: Final = 3
MAX_PRIORITY: Final = 100


class JobState(StrEnum):
    """QUEUED and RUNNING are open; the others are final. DEAD: its attempts are used up."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        """Whether the job will never run again."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobFailure(msgspec.Struct, frozen=True):
    """Why a job failed, for people (`message`) and programs (`code`)."""

    code: str
    message: str


class Job(msgspec.Struct, frozen=True):
    """One job as it stands now.

    `worker_id` is who runs it, or who ran the attempt that ended it: None if no attempt did.
    """

    id: str
    tenant_id: str
    kind: str
    spec: dict[str, Any]
    created_at: datetime
    state: JobState = JobState.QUEUED
    attempt: int = 0
    max_attempts: int = MAX_ATTEMPTS
    priority: int = 0
    fence: int = 0
    worker_id: str | None = None
    lease_until: datetime | None = None
    cancel_requested: bool = False
    fraction: float | None = None
    message: str = ""
    result: dict[str, Any] | None = None
    failure: JobFailure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def time_left(self, fraction: float | None, at: datetime) -> float | None:
        """The seconds left if it goes on as it went until `at`; None where that is not known."""
        if fraction is None or fraction <= 0 or self.started_at is None:
            return None
        # An event of an attempt before this one began.
        spent = (at - self.started_at).total_seconds()
        return None if spent < 0 else round(spent * max(0.0, 1 - fraction) / fraction, 1)

    def seconds_left(self, now: datetime) -> float | None:
        """The seconds left, while it runs and where that is known."""
        return self.time_left(self.fraction, now) if self.state is JobState.RUNNING else None

    def check_fence(self, fence: int) -> None:
        """Raises LostLease unless the holder of `fence` is the one who runs this job now."""
        if self.state is not JobState.RUNNING or self.fence != fence:
            raise LostLease(f"job '{self.id}' is no longer run under fence {fence}")

    def claimed(self, worker_id: str, now: datetime) -> Job:
        """The job at the start of its next attempt."""
        return replace(
            self,
            state=JobState.RUNNING,
            attempt=self.attempt + 1,
            fence=self.fence + 1,
            worker_id=worker_id,
            lease_until=now + LEASE,
            fraction=None,
            message="",
            started_at=now,
        )

    def ended(
        self,
        now: datetime,
        state: JobState,
        *,
        result: dict[str, Any] | None = None,
        failure: JobFailure | None = None,
    ) -> Job:
        """The job in a final state."""
        if not state.final:
            raise ValueError(f"{state} is not a final state")
        return replace(
            self, state=state, result=result, failure=failure, lease_until=None, finished_at=now
        )

    def put_back(self, now: datetime, *, count: bool) -> Job:
        """The job after an attempt that came to nothing.

        CANCELLED if that was asked for, else DEAD if its attempts are used up, else QUEUED.
        `count=False` gives the attempt back.
        """
        if self.cancel_requested:
            return replace(self.ended(now, JobState.CANCELLED), worker_id=None)
        if count and self.attempt >= self.max_attempts:
            tried = f"given up after {self.attempt} attempts, none of which came to an end"
            return self.ended(now, JobState.DEAD, failure=JobFailure("attempts_exhausted", tried))
        return replace(
            self,
            state=JobState.QUEUED,
            attempt=self.attempt if count else self.attempt - 1,
            worker_id=None,
            lease_until=None,
            fraction=None,
        )

    def cancelled(self, now: datetime) -> Job:
        """The job after its user asked to cancel it: a running one stops at its next heartbeat."""
        if self.state is JobState.QUEUED:
            return replace(self.ended(now, JobState.CANCELLED), cancel_requested=True)
        return replace(self, cancel_requested=True) if self.state is JobState.RUNNING else self


class JobEvent(msgspec.Struct, frozen=True):
    """One line of a job's story. `seq` counts from 1 within the job."""

    seq: int
    at: datetime
    message: str
    fraction: float | None = None
    data: dict[str, Any] = {}


class JobRepository(Protocol):
    """The jobs of one tenant."""

    def add(self, job: Job) -> None:
        """Queue a new job."""
        ...

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[Job]:
        """Newest first."""
        ...

    def request_cancel(self, job_id: str, now: datetime) -> Job:
        """Cancel a queued job at once and ask a running one's worker to stop it.

        A job in a final state stays as it is.
        """
        ...

    def events(self, job_id: str, after: int = 0, limit: int = 500) -> Sequence[JobEvent]:
        """The job's story after `seq` number `after`, in order."""
        ...


class JobQueue(Protocol):
    """The queue as workers see it, across tenants."""

    def claim(self, worker_id: str, now: datetime) -> Job | None:
        """Take the next queued job: attempt and fence go up by one, the lease starts.

        Tenants take turns: first comes the one with the fewest jobs running, of several the one
        that was served longest ago. Among its own jobs the highest priority comes first, of equals
        the oldest.
        """
        ...

    def heartbeat(self, job_id: str, fence: int, now: datetime) -> bool:
        """Renew the lease; True when the job should be stopped. Raises LostLease."""
        ...

    def record(self, job_id: str, fence: int, now: datetime, story: Sequence[Progress]) -> None:
        """Append to the job's story. Raises LostLease."""
        ...

    def finish(
        self,
        job_id: str,
        fence: int,
        now: datetime,
        state: JobState,
        *,
        result: dict[str, Any] | None = None,
        failure: JobFailure | None = None,
    ) -> None:
        """Move the job to a final state. Raises LostLease."""
        ...

    def release(self, job_id: str, fence: int, now: datetime, *, count: bool) -> JobState:
        """Put the job back: QUEUED again, or DEAD when its attempts are used up.

        A job whose cancel was requested ends CANCELLED instead. `count=False` gives the attempt
        back: the worker is stopping, the job did nothing wrong. Raises LostLease.
        """
        ...

    def reap(self, now: datetime) -> int:
        """Release every running job whose lease ran out; return how many there were.

        A job whose cancel was requested ends CANCELLED instead of queueing again.
        """
        ...
