"""Jobs: work that the server does in its own time, and the story each one tells meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from modelyard_client.errors import ApiError, BadArgument, TimedOut, UnexpectedAnswer, Unreachable
from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route

FINAL: Final = frozenset({"succeeded", "failed", "cancelled", "dead"})


class JobFailure(msgspec.Struct, frozen=True):
    """Why a job failed, for people (`message`) and programs (`code`)."""

    code: str
    message: str


class Job(msgspec.Struct, frozen=True):
    """One job as it stood when it was asked for.

    `fraction` is between 0 and 1; `seconds_left` is what it will take if it goes on like that.
    """

    id: str
    kind: str
    state: str
    created_at: datetime
    spec: dict[str, Any] = {}
    attempt: int = 0
    max_attempts: int = 0
    priority: int = 0
    cancel_requested: bool = False
    fraction: float | None = None
    message: str = ""
    result: dict[str, Any] | None = None
    failure: JobFailure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds_left: float | None = None

    @property
    def final(self) -> bool:
        """Whether the job will never run again."""
        return self.state in FINAL


class JobEvent(msgspec.Struct, frozen=True):
    """One line of a job's story. `seq` counts from 1 within the job.

    `seconds_left` is how long the job will take from then on if it goes on as until then.
    """

    seq: int
    at: datetime
    message: str
    fraction: float | None = None
    data: dict[str, Any] = {}
    seconds_left: float | None = None


class Jobs:
    """`/api/v1/jobs`."""

    def __init__(
        self, transport: Transport, *, poll_seconds: float = 0.5, patience: float = 30.0
    ) -> None:
        self._transport = transport
        self._poll_seconds = poll_seconds
        self._patience = patience

    def submit_train(
        self, model: str, *, dataset: str, target: str | None = None, **options: Any
    ) -> Job:
        """Train a version of `model` to predict the column `target`.

        Clustering and anomaly detection, to be named as `task`, have no target. The options are
        those of the API: `dataset_version`, `algorithm`, `task`, `parameters`, `test_fraction`,
        `folds`, `seed`, `metric`, `include`, `exclude`, `tokens`, `trials`, `tune_seconds`,
        `workers`, `time_column`, `group_column`, `window`, `horizon`, `series_column`,
        `image_size`, `image_grey`, `ensemble`, `ensemble_size`, `embedder`, `stream`, `slices`,
        `threshold`, `alias`, `gates`, `preprocessing`, `selection`, `priority`, `max_seconds`,
        `max_memory_bytes`. None is the server's default.

        Raises:
            BadArgument: an option is infinite or no number, which JSON cannot say.
        """
        for name, value in options.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise BadArgument(f"{name} is {value}; a finite number is needed")
        spec = {"model": model, "dataset": dataset, "target": target}
        spec |= {name: value for name, value in options.items() if value is not None}
        body = {"kind": "train", "spec": spec}
        return self._transport.request("POST", route("jobs"), Job, body=body)

    def get(self, job_id: str) -> Job:
        """One job."""
        return self._transport.request("GET", route("jobs", job_id), Job)

    def cancel(self, job_id: str) -> Job:
        """Ask for its end; a job in a final state stays as it is."""
        return self._transport.request("POST", route("jobs", job_id, "cancel"), Job)

    def events(self, job_id: str, after: int = 0) -> Sequence[JobEvent]:
        """The story so far, after event number `after`."""
        story: list[JobEvent] = []
        while part := self._part(job_id, story[-1].seq if story else after):
            story += part
        return story

    def follow(self, job_id: str, *, after: int = 0, timeout: float = 86_400) -> Iterator[JobEvent]:
        """Each event as it comes, until the job is in a final state. A server that is started
        again meanwhile is waited for.

        Raises:
            TimedOut: the job was not final after `timeout` seconds. It goes on.
            Unreachable: no server answers any more.
        """
        end = time.monotonic() + timeout
        ended, streams = self.get(job_id).final, True
        while True:
            known = after
            try:
                for event in self._live(job_id, after) if streams else self._part(job_id, after):
                    after = event.seq
                    yield event
            except (TimedOut, Unreachable):
                # A quiet or broken stream: what was missed is asked for again.
                ended = False
            except (ApiError, UnexpectedAnswer):
                if not streams:
                    raise
                streams, ended = False, False
            if ended and after == known:
                return
            if time.monotonic() > end:
                raise TimedOut(f"job {job_id} is not done after {timeout:g} s; it goes on")
            ended = self._once_there(job_id).final
            if not ended:
                time.sleep(self._poll_seconds)

    def wait(self, job_id: str, timeout: float = 86_400) -> Job:
        """Return the job when it is in a final state, good or bad.

        Raises:
            TimedOut, Unreachable: as `follow`.
        """
        for _ in self.follow(job_id, timeout=timeout):
            pass
        return self.get(job_id)

    def list(self, limit: int = 50) -> Sequence[Job]:
        """The newest jobs first."""
        return collect(self._transport, route("jobs"), Page[Job], limit)

    def _once_there(self, job_id: str) -> Job:
        """The job, from a server that may be starting just now."""
        end = time.monotonic() + self._patience
        while True:
            try:
                return self.get(job_id)
            except Unreachable:
                if time.monotonic() > end:
                    raise
            time.sleep(self._poll_seconds)

    def _part(self, job_id: str, after: int) -> Sequence[JobEvent]:
        """As much of the story as the server gives at once."""
        path = route("jobs", job_id, "events")
        return self._transport.request("GET", path, Page[JobEvent], params={"after": after}).items

    def _live(self, job_id: str, after: int) -> Iterator[JobEvent]:
        path = route("jobs", job_id, "events")
        with self._transport.stream(path, {"after": after}) as stream:
            for data in stream:
                event = _event(data)
                if event is not None and event.seq > after:
                    yield event


def _event(data: str) -> JobEvent | None:
    """The event of the story that `data` holds; None for what else a stream may say."""
    try:
        return msgspec.json.decode(data, type=JobEvent)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        raise UnexpectedAnswer(f"the job's event stream is damaged: {error}") from None
