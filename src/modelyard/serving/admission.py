"""Who may still join the queue before a model: whoever will be answered in time, as far as the
calls so far can tell.

A request that would be late is refused before its body is read into tensors, while that costs
next to nothing. The model then spends its time on answers that somebody still waits for.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from functools import partial
from statistics import median
from typing import Final, Protocol

from modelyard.core.errors import Unavailable
from modelyard.serving.batch import Outputs

BUSY: Final = 0.5
"""The part of a request's time that it may be expected to take. The other is for what cannot be
expected: calls do not all take equally long, and a busy event loop is late to read and to answer.
A longer queue would not make the model any faster."""

FULL: Final = 0.7
"""The same for a key that has less than its share of the queue: no key can fill it alone."""

_CALLS: Final = 9
"""As many of the latest calls tell the pace, by their median: one that is out of the ordinary does
not turn others away."""


class Pace:
    """How fast a model's calls go. Until the first has ended nothing is expected of it."""

    def __init__(self) -> None:
        self._calls: deque[float] = deque(maxlen=_CALLS)
        self._rows: deque[float] = deque(maxlen=_CALLS)
        self._call_seconds = 0.0
        self._rows_each = 1.0

    def ran(self, seconds: float, requests: int, rows: int) -> None:
        """A call has ended that served so many requests, with so many rows in all."""
        self._calls.append(seconds)
        self._rows.append(rows / requests)
        self._call_seconds = median(self._calls)
        self._rows_each = median(self._rows)

    def expected(self, waiting: int, running: int, most_rows: int) -> float:
        """Seconds until a request is answered that comes behind so many, beside so many calls.

        Calls under way are taken to be half over, and the calls to come to be full.
        """
        calls = math.ceil((waiting + 1) * self._rows_each / most_rows)
        return (calls / max(running, 1) + 0.5) * self._call_seconds


class Queue(Protocol):
    """What waits for a model."""

    @property
    def expected_seconds(self) -> float:
        """How long a request that came now would take; 0.0 if it need not wait."""
        ...


class Admission:
    """The door to one queue. It knows whose requests are inside."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._inside: Counter[str] = Counter()

    def check(self, key_id: str, seconds: float) -> None:
        """Let a request of this key pass that has so many seconds.

        Raises:
            Unavailable: it would wait too long; says when it is worth coming back.
        """
        expected = self._queue.expected_seconds
        if expected <= seconds * BUSY:
            return
        if expected <= seconds * FULL and self._has_little(key_id):
            return
        raise Unavailable(
            f"the model is busy: an answer would take about {expected:.2g} s",
            retry_after=max(1, math.ceil(expected - seconds * BUSY)),
        )

    def enter(self, key_id: str, answer: asyncio.Future[Outputs]) -> None:
        """A request of this key is inside until it has its answer."""
        self._inside[key_id] += 1
        answer.add_done_callback(partial(self._leave, key_id))

    def _leave(self, key_id: str, _: asyncio.Future[Outputs]) -> None:
        self._inside[key_id] -= 1
        if not self._inside[key_id]:
            del self._inside[key_id]

    def _has_little(self, key_id: str) -> bool:
        """Whether the key has less than its share, if all that are here had the same."""
        keys = len(self._inside | {key_id: 1})
        return self._inside[key_id] * keys < self._inside.total()
