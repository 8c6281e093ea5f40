"""What of a request is charged for: the one place where that is decided."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from modelyard.core.clock import microseconds
from modelyard.core.events import GONE, PredictionMade
from modelyard.core.jobs import Job, JobState
from modelyard.core.tasks import OVER_LIMIT, TIMED_OUT


class Charged(Enum):
    """How much of what a request took is charged for.

    ALL: the request itself, and all that it took. PRODUCED: what the model made before the client
    went away or the answer broke off (tokens, the model's time), but no request and no rows. A
    failure that left its client with nothing is recorded without either.
    """

    ALL = "all"
    PRODUCED = "produced"
    NOTHING = "nothing"


ANSWERED_BELOW: Final = 400
"""Statuses below are answers, from there on failures."""
BROKEN_OFF_FROM: Final = 500
"""Failures from here on may come in the middle of a stream; those below before its beginning."""


def charged(status: int) -> Charged:
    """How much is charged for a request that ended with this HTTP status."""
    if status < ANSWERED_BELOW:
        return Charged.ALL
    broken_off = status == GONE or status >= BROKEN_OFF_FROM
    return Charged.PRODUCED if broken_off else Charged.NOTHING


_OWN_LIMITS: Final = frozenset({OVER_LIMIT, TIMED_OUT})


def charged_training(job: Job) -> int:
    """The microseconds that are charged for a training job that has ended.

    They are those of its last attempt, for each process that it runs trials in. A job that was
    cancelled as it ran is charged for, and one that went past its own limits of time or memory;
    another that failed is not, nor is an attempt that the server lost, nor the wait after it.
    """
    if job.started_at is None or job.finished_at is None or job.worker_id is None:
        return 0
    past_limits = job.failure is not None and job.failure.code in _OWN_LIMITS
    if job.state not in (JobState.SUCCEEDED, JobState.CANCELLED) and not past_limits:
        return 0
    at_once = job.spec.get("workers", 1) if job.spec.get("trials") else 1
    return max(0, microseconds(job.finished_at) - microseconds(job.started_at)) * int(at_once)


class Quantities(msgspec.Struct, frozen=True):
    """What is charged for; `compute` in microseconds."""

    requests: int = 0
    rows: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    compute: int = 0

    def __add__(self, other: Quantities) -> Quantities:
        return Quantities(
            self.requests + other.requests,
            self.rows + other.rows,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.compute + other.compute,
        )


def quantities(event: PredictionMade) -> Quantities:
    """What is charged for one request. Tokens of the prompt that were cached count apart."""
    how = charged(event.status)
    if how is Charged.NOTHING:
        return Quantities()
    whole = how is Charged.ALL
    return Quantities(
        1 if whole else 0,
        event.rows if whole else 0,
        event.prompt_tokens - event.cached_tokens,
        event.cached_tokens,
        event.completion_tokens,
        event.compute,
    )
