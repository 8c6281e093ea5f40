"""The jobs of one tenant, and how a job is written as a row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from modelyard.adapters.store.tables import job_events, jobs
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.jobs import Job, JobEvent
from modelyard.core.pages import Page, PageRequest

JOB: Final = tuple(jobs.c[name] for name in Job.__struct_fields__)
_EVENT: Final = tuple(job_events.c[name] for name in JobEvent.__struct_fields__)


def job_values(job: Job) -> dict[str, Any]:
    """What changes in a job's row when the job moves on."""
    values = msgspec.structs.asdict(job)
    del values["id"], values["tenant_id"]
    return values


class SqlJobs(TenantRows):
    """The jobs of one tenant."""

    def add(self, job: Job) -> None:
        if not self._added(jobs, id=job.id, **job_values(job)):
            raise Conflict(f"there is a job '{job.id}' already")

    def get(self, job_id: str) -> Job:
        statement = self._select_to_change(jobs, *JOB).where(jobs.c.id == job_id)
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound(f"there is no job '{job_id}'")
        return Job(*row)

    def list(self, page: PageRequest) -> Page[Job]:
        statement = self._select(jobs, *JOB)
        if page.after is not None:
            statement = statement.where(jobs.c.id < page.after)
        rows = self._connection.execute(statement.order_by(jobs.c.id.desc()).limit(page.limit + 1))
        return Page.cut([Job(*row) for row in rows], page, lambda job: job.id)

    def request_cancel(self, job_id: str, now: datetime) -> Job:
        job = self.get(job_id).cancelled(now)
        self._connection.execute(
            self._update(jobs).where(jobs.c.id == job_id).values(job_values(job))
        )
        return job

    def events(self, job_id: str, after: int = 0, limit: int = 500) -> Sequence[JobEvent]:
        rows = self._connection.execute(
            self._select(job_events, *_EVENT)
            .where(job_events.c.job_id == job_id, job_events.c.seq > after)
            .order_by(job_events.c.seq)
            .limit(limit)
        )
        return [JobEvent(*row) for row in rows]
