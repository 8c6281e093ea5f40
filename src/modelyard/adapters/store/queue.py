"""The job queue as workers see it, across tenants.

Each step reads the job with its row locked, asks the job what becomes of it, and writes that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from modelyard.adapters.store.jobs import JOB, job_values
from modelyard.adapters.store.tables import job_events, jobs
from modelyard.core.errors import LostLease
from modelyard.core.jobs import LEASE, Job, JobFailure, JobState
from modelyard.core.tasks import Progress


def _turns() -> Select[tuple[str]]:
    """The tenants that have a job queued, the next to be served first."""
    waiting = (
        select(jobs.c.tenant_id, func.min(jobs.c.id).label("oldest"))
        .where(jobs.c.state == JobState.QUEUED)
        .group_by(jobs.c.tenant_id)
        .subquery()
    )
    other = jobs.alias()
    running = (
        select(func.count())
        .where(other.c.tenant_id == waiting.c.tenant_id, other.c.state == JobState.RUNNING)
        .scalar_subquery()
    )
    served = (
        select(func.max(other.c.started_at))
        .where(other.c.tenant_id == waiting.c.tenant_id)
        .scalar_subquery()
    )
    return select(waiting.c.tenant_id).order_by(
        running, served.asc().nulls_first(), waiting.c.oldest
    )


def _next() -> Select[Any]:
    """A tenant's oldest job of the highest priority: both by the index alone."""
    other = jobs.alias()
    highest = (
        select(func.max(other.c.priority))
        .where(other.c.state == JobState.QUEUED, other.c.tenant_id == bindparam("tenant_id"))
        .scalar_subquery()
    )
    return (
        select(*JOB)
        .where(
            jobs.c.state == JobState.QUEUED,
            jobs.c.tenant_id == bindparam("tenant_id"),
            jobs.c.priority == highest,
        )
        .order_by(jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=jobs)
    )


_TURNS: Final = _turns()
_NEXT: Final = _next()


class SqlQueue:
    """The queue over the jobs' table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(self, worker_id: str, now: datetime) -> Job | None:
        for tenant_id in self._connection.execute(_TURNS).scalars().all():
            # SKIP LOCKED: two workers never wait for, nor get, the same job.
            row = self._connection.execute(_NEXT, {"tenant_id": tenant_id}).one_or_none()
            if row is not None:
                return self._save(Job(*row).claimed(worker_id, now))
        return None

    def heartbeat(self, job_id: str, fence: int, now: datetime) -> bool:
        job = self._held(job_id, fence)
        self._change(job_id, lease_until=now + LEASE)
        return job.cancel_requested

    def record(self, job_id: str, fence: int, now: datetime, story: Sequence[Progress]) -> None:
        job = self._held(job_id, fence)
        if not story:
            return
        last = self._connection.execute(
            select(func.coalesce(func.max(job_events.c.seq), 0)).where(
                job_events.c.job_id == job_id
            )
        ).scalar_one()
        self._connection.execute(
            insert(job_events),
            [
                {
                    "tenant_id": job.tenant_id,
                    "job_id": job_id,
                    "seq": seq,
                    "at": now,
                    "message": step.message,
                    "fraction": step.fraction,
                    "data": dict(step.data),
                }
                for seq, step in enumerate(story, last + 1)
            ],
        )
        fractions = [step.fraction for step in story if step.fraction is not None]
        fraction = fractions[-1] if fractions else job.fraction
        self._change(job_id, message=story[-1].message, fraction=fraction)

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
        rows = self._connection.execute(
            select(*JOB)
            .where(jobs.c.state == JobState.RUNNING, jobs.c.lease_until <= now)
            .with_for_update(skip_locked=True)
        ).all()
        for row in rows:
            self._save(Job(*row).put_back(now, count=True))
        return len(rows)

    def _held(self, job_id: str, fence: int) -> Job:
        """The job, locked, for whoever holds the fence."""
        row = self._connection.execute(
            select(*JOB).where(jobs.c.id == job_id).with_for_update()
        ).one_or_none()
        if row is None:
            raise LostLease(f"job '{job_id}' is gone")
        job = Job(*row)
        job.check_fence(fence)
        return job

    def _save(self, job: Job) -> Job:
        self._change(job.id, **job_values(job))
        return job

    def _change(self, job_id: str, **values: Any) -> None:
        self._connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
