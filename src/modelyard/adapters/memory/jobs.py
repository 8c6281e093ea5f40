"""The jobs of one tenant, and the queue that workers see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from modelyard.adapters.memory.state import State, cut_newest
from modelyard.core.errors import Conflict, LostLease, NotFound
from modelyard.core.jobs import LEASE, Job, JobEvent, JobFailure, JobState
from modelyard.core.pages import Page, PageRequest
from modelyard.core.tasks import Progress


class MemoryJobs:
    """The jobs of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def add(self, job: Job) -> None:
        if job.id in self._state.jobs:
            raise Conflict(f"there is a job '{job.id}' already")
        self._state.jobs[job.id] = replace(job, tenant_id=self._tenant_id)

    def get(self, job_id: str) -> Job:
        job = self._state.jobs.get(job_id)
        if job is None or job.tenant_id != self._tenant_id:
            raise NotFound(f"there is no job '{job_id}'")
        return job

    def list(self, page: PageRequest) -> Page[Job]:
        own = (job for job in self._state.jobs.values() if job.tenant_id == self._tenant_id)
        return cut_newest(own, page, lambda job: job.id)

    def request_cancel(self, job_id: str, now: datetime) -> Job:
        job = self.get(job_id).cancelled(now)
        self._state.jobs[job_id] = job
        return job

    def events(self, job_id: str, after: int = 0, limit: int = 500) -> Sequence[JobEvent]:
        job = self._state.jobs.get(job_id)
        if job is None or job.tenant_id != self._tenant_id:
            return []
        story = self._state.stories.get(job_id, ())
        return [event for event in story if event.seq > after][:limit]


_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class MemoryQueue:
    """The queue over the jobs."""

    def __init__(self, state: State) -> None:
        self._state = state

    def claim(self, worker_id: str, now: datetime) -> Job | None:
        queued = [job for job in self._state.jobs.values() if job.state is JobState.QUEUED]
        if not queued:
            return None
        next_ = min(queued, key=self._turn)
        return self._save(next_.claimed(worker_id, now))

    def _turn(self, job: Job) -> tuple[Any, ...]:
        """What decides which job is next: the tenant's turn, then the order of its own jobs."""
        own = [one for one in self._state.jobs.values() if one.tenant_id == job.tenant_id]
        running = sum(one.state is JobState.RUNNING for one in own)
        served = max((one.started_at for one in own if one.started_at), default=_NEVER)
        oldest = min(one.id for one in own if one.state is JobState.QUEUED)
        return running, served, oldest, -job.priority, job.id

    def heartbeat(self, job_id: str, fence: int, now: datetime) -> bool:
        job = self._held(job_id, fence)
        return self._save(replace(job, lease_until=now + LEASE)).cancel_requested

    def record(self, job_id: str, fence: int, now: datetime, story: Sequence[Progress]) -> None:
        job = self._held(job_id, fence)
        for step in story:
            told = self._state.stories.get(job_id, ())
            event = JobEvent(len(told) + 1, now, step.message, step.fraction, dict(step.data))
            self._state.stories[job_id] = (*told, event)
            fraction = job.fraction if step.fraction is None else step.fraction
            job = self._save(replace(job, message=step.message, fraction=fraction))

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
        job = self._held(job_id, fence)
        self._save(job.ended(now, state, result=result, failure=failure))

    def release(self, job_id: str, fence: int, now: datetime, *, count: bool) -> JobState:
        return self._save(self._held(job_id, fence).put_back(now, count=count)).state

    def reap(self, now: datetime) -> int:
        overdue = [
            job
            for job in self._state.jobs.values()
            if job.state is JobState.RUNNING and job.lease_until and job.lease_until <= now
        ]
        for job in overdue:
            self._save(job.put_back(now, count=True))
        return len(overdue)

    def _held(self, job_id: str, fence: int) -> Job:
        job = self._state.jobs.get(job_id)
        if job is None:
            raise LostLease(f"job '{job_id}' is gone")
        job.check_fence(fence)
        return job

    def _save(self, job: Job) -> Job:
        self._state.jobs[job.id] = job
        return job
