"""`/api/v1/jobs`: work that the server does in its own time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Meta

from modelyard.api.management.admission import LANE, Lane
from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.job_stream import (
    EVENT_STREAM,
    JobStream,
    ToldEvent,
    told,
    wants_stream,
)
from modelyard.api.management.operations import Idempotent, Streaming
from modelyard.api.management.problems import refusals
from modelyard.core import jobs as entity
from modelyard.core.access import Permission
from modelyard.core.clock import Clock
from modelyard.core.jobs import JobFailure, JobState
from modelyard.core.pages import Page

_SPEC: Final = """What to do. For `train`: `model`, `dataset` and `target` (a column's name).
Each of these has a default: `dataset_version` (the newest), `algorithm` (`auto`), `task`
(`classification` or `regression`; from the data), `test_fraction` (0.2), `folds` (5), `seed` (0),
`metric` (the task's), `parameters` (the algorithm's), `include` and `exclude` (columns to learn
from), `trials` (0: no tuning), `tune_seconds` (after which no trial begins), `workers` (trials at
once; 1), `ensemble` (`voting` or `stacking` of the best `ensemble_size`, 3, that `auto` finds,
where that is better), `embedder` (a registered sentence embedder, for `embedding_linear`), `stream`
(the table is read in parts), `alias` (to point at the new version), `gates` (what the version must
reach for that), `preprocessing` (by column's name, or `*` for all: `role`, `impute`, `fill`,
`indicator`, `scale`, `encode`), `selection` (`method`: `k_best` with `k`, `variance` with
`threshold`, `l1` with `alpha`), `priority` (-100 to 100; of a tenant's queued jobs the highest
comes first; 0), `max_seconds` and `max_memory_bytes` (of each attempt; as much as the server
allows)."""
_TRAIN: Final = {"model": "churn", "dataset": "churn", "target": "left", "algorithm": "auto"}


class NewJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job to queue."""

    kind: Annotated[str, Meta(min_length=1, max_length=40, examples=["train"])]
    spec: Annotated[dict[str, Any], Meta(description=_SPEC, examples=[_TRAIN])]


class Job(msgspec.Struct, frozen=True):
    """A job as it stands. `fraction` is how far it is, from 0 to 1, where that is known, and
    `seconds_left` what it will take if it goes on like that.
    """

    id: str
    kind: str
    spec: dict[str, Any]
    state: JobState
    attempt: int
    max_attempts: int
    priority: int
    cancel_requested: bool
    fraction: float | None
    message: str
    result: dict[str, Any] | None
    failure: JobFailure | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds_left: float | None


@post(
    "/",
    status_code=202,
    summary="Submit a job",
    responses=refusals(404, 409, 413, 415, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def submit_job(services: Services, caller: Caller, data: JSONBody[NewJob]) -> Job:
    """It is checked now and done later: follow its events, or ask for it until it is final.

    A submitted job survives a restart of the server. If the process that works on it dies,
    another takes it up, `max_attempts` times in all.
    """
    return shown(services.jobs.submit(caller.tenant_id, data.kind, data.spec), services.clock)


@get("/", summary="List jobs", responses=refusals(), sync_to_thread=True)
def list_jobs(services: Services, caller: Caller, page: Paging) -> Page[Job]:
    """Newest first."""
    jobs = services.jobs.list(caller.tenant_id, page)
    return jobs.map(lambda job: shown(job, services.clock))


@get("/{job_id:str}", summary="Show a job", responses=refusals(404), sync_to_thread=True)
def show_job(services: Services, caller: Caller, job_id: Name) -> Job:
    """`succeeded`, `failed`, `cancelled` and `dead` (attempts used up) are final."""
    return shown(services.jobs.get(caller.tenant_id, job_id), services.clock)


@post(
    "/{job_id:str}/cancel",
    status_code=200,
    summary="Cancel a job",
    responses=refusals(404, 409, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def cancel_job(services: Services, caller: Caller, job_id: Name) -> Job:
    """A queued job ends at once, a running one within seconds; a final one stays as it is."""
    return shown(services.jobs.cancel(caller.tenant_id, job_id), services.clock)


@get(
    "/{job_id:str}/events",
    summary="Follow a job",
    responses={
        **refusals(404),
        200: ResponseSpec(
            Page[ToldEvent],
            description="The events; with `Accept: text/event-stream`, each as it comes.",
            generate_examples=False,
        ),
    },
    operation_class=Streaming,
    opt={LANE: Lane.STREAMS},
    sync_to_thread=True,
)
def job_events(
    services: Services,
    caller: Caller,
    request: Request[Any, Any, Any],
    job_id: Name,
    after: Annotated[
        int, QueryParameter(ge=0, le=2**31 - 1, description="Only events after this `seq`.")
    ] = 0,
    resume: Annotated[int | None, HeaderParameter(name="Last-Event-ID", ge=0, le=2**31 - 1)] = None,
) -> Response[Any]:
    """The job's story, in order: up to 500 events after number `after`.

    With `Accept: text/event-stream` the answer is a stream of server-sent events that ends when
    the job is final: `progress` with a job event each, whose id is its `seq`, and a last `end`
    with the job. A stream is cut after some minutes; who reads it resumes with `Last-Event-ID`.
    """
    if not wants_stream(request.headers.get("accept", "")):
        return Response(Page(told(services.jobs, caller.tenant_id, job_id, after)[1]))
    services.jobs.get(caller.tenant_id, job_id)
    stream = JobStream(services.jobs, caller.tenant_id, job_id, services.draining)
    return Stream(stream.lines(after if resume is None else resume), media_type=EVENT_STREAM)


def shown(job: entity.Job, clock: Clock) -> Job:
    """The job without what only workers need to know."""
    return Job(
        id=job.id,
        kind=job.kind,
        spec=job.spec,
        state=job.state,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        cancel_requested=job.cancel_requested,
        fraction=job.fraction,
        message=job.message,
        result=job.result,
        failure=job.failure,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        seconds_left=job.seconds_left(clock.now()),
    )


jobs: Final = Router(
    "/jobs",
    route_handlers=[submit_job, list_jobs, show_job, cancel_job, job_events],
    tags=["jobs"],
    opt=needs(Permission.MODELS_READ, Permission.MODELS_WRITE),
)
