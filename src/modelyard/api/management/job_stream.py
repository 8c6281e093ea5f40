"""A job's story as server-sent events (the HTML standard's `text/event-stream`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.core.errors import ModelyardError
from modelyard.core.jobs import Job

if TYPE_CHECKING:
    from modelyard.training.jobs import JobService

EVENT_STREAM: Final = "text/event-stream"
POLL: Final = 0.25
"""Seconds between two looks while the job talks."""
QUIET_POLL: Final = 0.5
"""The same after a look in vain."""
PING: Final = 10.0
"""Seconds of silence after which a comment shows that the connection lives."""
LONGEST: Final = 600.0
"""Seconds after which a stream is cut, so that a revoked key does not listen on for ever."""
PAGE: Final = 500


class ToldEvent(msgspec.Struct, frozen=True):
    """One line of a job's story. `seq` counts from 1 within the job, `fraction` is how far it was,
    from 0 to 1, `seconds_left` how long it would go on as until then. `data` is for programs: of a
    trial, an epoch or a fold its number, scores and losses.
    """

    seq: int
    at: datetime
    message: str
    fraction: float | None
    data: dict[str, Any]
    seconds_left: float | None


def told(jobs: JobService, tenant_id: str, job_id: str, after: int) -> tuple[Job, list[ToldEvent]]:
    """The job, and its story after event number `after`. Raises NotFound."""
    # The job first: once it is final its story is complete, so no event can be missed.
    job = jobs.get(tenant_id, job_id)
    story = jobs.events(tenant_id, job_id, after, PAGE)
    return job, [
        ToldEvent(
            seq=event.seq,
            at=event.at,
            message=event.message,
            fraction=event.fraction,
            data=event.data,
            seconds_left=job.time_left(event.fraction, event.at),
        )
        for event in story
    ]


def wants_stream(accept: str) -> bool:
    """Whether the `Accept` header asks for events as they come."""
    return any(part.partition(";")[0].strip().lower() == EVENT_STREAM for part in accept.split(","))


class JobStream:
    """Polls the store on a thread. Nothing runs between two looks, and none outlives the client."""

    def __init__(
        self, jobs: JobService, tenant_id: str, job_id: str, draining: Callable[[], bool]
    ) -> None:
        self._jobs = jobs
        self._tenant_id = tenant_id
        self._job_id = job_id
        self._draining = draining

    async def lines(self, after: int) -> AsyncIterator[bytes]:
        """The stream, from the event after number `after`.

        It ends with an `end` event when the job is final; without one when it is cut, the process
        drains or the store fails: whoever reads comes back.
        """
        yield b"retry: 1000\n\n"
        began = spoke = time.monotonic()
        while time.monotonic() - began < LONGEST and not self._draining():
            try:
                job, events = await asyncio.to_thread(
                    told, self._jobs, self._tenant_id, self._job_id, after
                )
            except ModelyardError:
                return
            for event in events:
                after = event.seq
                yield _line("progress", event, event.seq)
            if len(events) == PAGE:
                continue
            if job.state.final:
                yield _line("end", {"id": job.id, "state": job.state})
                return
            if events:
                spoke = time.monotonic()
            elif time.monotonic() - spoke > PING:
                spoke = time.monotonic()
                yield b": still here\n\n"
            await asyncio.sleep(POLL if events else QUIET_POLL)


def _line(name: str, data: Any, seq: int | None = None) -> bytes:
    # JSON holds no raw line break, so one data line is enough.
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode(), msgspec.json.encode(data))
