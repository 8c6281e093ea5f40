"""A job's story as server-sent events (the HTML standard's `text/event-stream`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.core.errors import ModelyardError
from modelyard.core.jobs import Job, JobEvent

if TYPE_CHECKING:
    from modelyard.training.jobs import JobService

EVENT_STREAM: Final = "text/event-stream"
POLL: Final = 0.25
"""Seconds between two looks while the job talks; twice as long after each look in vain."""
SLOWEST_POLL: Final = 2.0
PING: Final = 10.0
"""Seconds of silence after which a comment shows that the connection lives."""
LONGEST: Final = 600.0
"""Seconds after which a stream is cut, so that a revoked key does not listen on for ever."""
PAGE: Final = 500


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
        pause = POLL
        while time.monotonic() - began < LONGEST and not self._draining():
            try:
                job, events = await asyncio.to_thread(self._look, after)
            except ModelyardError:
                return
            for event in events:
                after = event.seq
                yield _told("progress", event, event.seq)
            if len(events) == PAGE:
                continue
            if job.state.final:
                yield _told("end", {"id": job.id, "state": job.state})
                return
            pause = POLL if events else min(2 * pause, SLOWEST_POLL)
            if events:
                spoke = time.monotonic()
            elif time.monotonic() - spoke > PING:
                spoke = time.monotonic()
                yield b": still here\n\n"
            await asyncio.sleep(pause)

    def _look(self, after: int) -> tuple[Job, Sequence[JobEvent]]:
        # The job first: once it is final its story is complete, so no event can be missed.
        job = self._jobs.get(self._tenant_id, self._job_id)
        return job, self._jobs.events(self._tenant_id, self._job_id, after, PAGE)


def _told(name: str, data: Any, seq: int | None = None) -> bytes:
    # JSON holds no raw line break, so one data line is enough.
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode(), msgspec.json.encode(data))
