"""What a gateway counts of one deployment: a row of unsigned 64-bit slots.

An observation is two or three integer additions. The positions within a row stand here alone.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import msgspec

BUCKETS: Final = (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
"""Upper bounds of the histograms of time, in milliseconds."""

SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the histogram of batch sizes, in rows."""

FIRST_TOKENS: Final = (
    1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000
)  # fmt: skip
"""Upper bounds of the histogram of the times to a first token, in milliseconds. These and the next
are those of OpenTelemetry's conventions for generative models.
"""

NEXT_TOKENS: Final = (10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2500)
"""The same of the times between tokens."""

CODES: Final = (200, 400, 401, 403, 404, 413, 415, 429, 499, 500, 503, 504)
"""The statuses that have a counter of their own; any other is counted as its class (`5xx`)."""

CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
CODE_SLOT: Final = {code: slot for slot, code in enumerate(CODES)}
_SUCCESS: Final = 200
_BOUNDS_US: Final = [bound * 1000 for bound in BUCKETS]
_FIRST_US: Final = [bound * 1000 for bound in FIRST_TOKENS]
_NEXT_US: Final = [bound * 1000 for bound in NEXT_TOKENS]
TIME_WIDTH: Final = len(BUCKETS) + 2
"""Slots of a histogram: a bucket for each bound, one for what is beyond, the sum."""

DURATION: Final = len(CODES) + len(CLASSES)
QUEUED: Final = DURATION + TIME_WIDTH
INFERENCE: Final = QUEUED + TIME_WIDTH
SIZE: Final = INFERENCE + TIME_WIDTH
BEGUN: Final = SIZE + len(SIZES) + 2
HITS: Final = BEGUN + 1
MISSES: Final = HITS + 1
FAILED: Final = MISSES + 1
"""Microseconds that requests took which were not answered with 200."""

FIRST: Final = FAILED + 1
NEXT: Final = FIRST + len(FIRST_TOKENS) + 2
INPUT: Final = NEXT + len(NEXT_TOKENS) + 2
"""Tokens of prompts that were computed; those that were cached and those generated follow."""
CACHED: Final = INPUT + 1
OUTPUT: Final = CACHED + 1

WIDTH: Final = OUTPUT + 1


class Series(msgspec.Struct, frozen=True):
    """Which deployment and version a row of slots belongs to."""

    tenant_id: str
    deployment: str
    model: str
    version: int


class RouteMetrics:
    """One deployment's row of slots."""

    __slots__ = ("_at", "_slots")

    def __init__(self, slots: memoryview[int], row: int) -> None:
        self._slots = slots
        self._at = row * WIDTH

    def begin(self) -> None:
        """A request has come in."""
        self._slots[self._at + BEGUN] += 1

    def observe(self, status: int, microseconds: int) -> None:
        """It has been answered."""
        slots, at = self._slots, self._at
        code = CODE_SLOT.get(status)
        slots[at + (len(CODES) + status // 100 - 1 if code is None else code)] += 1
        slots[at + DURATION + bisect_left(_BOUNDS_US, microseconds)] += 1
        slots[at + DURATION + TIME_WIDTH - 1] += microseconds
        if status != _SUCCESS:
            slots[at + FAILED] += microseconds

    def queued(self, microseconds: int) -> None:
        """It has waited so long for the model."""
        slots, at = self._slots, self._at + QUEUED
        slots[at + bisect_left(_BOUNDS_US, microseconds)] += 1
        slots[at + TIME_WIDTH - 1] += microseconds

    def ran(self, rows: int, microseconds: int) -> None:
        """The model has run once, for so many rows."""
        slots, at = self._slots, self._at
        slots[at + INFERENCE + bisect_left(_BOUNDS_US, microseconds)] += 1
        slots[at + INFERENCE + TIME_WIDTH - 1] += microseconds
        slots[at + SIZE + bisect_left(SIZES, rows)] += 1
        slots[at + BEGUN - 1] += rows

    def hit(self) -> None:
        """The answer came from the cache."""
        self._slots[self._at + HITS] += 1

    def miss(self) -> None:
        """The cache had no answer."""
        self._slots[self._at + MISSES] += 1

    def first_token(self, microseconds: int) -> None:
        """The first piece of an answer has come."""
        slots, at = self._slots, self._at + FIRST
        slots[at + bisect_left(_FIRST_US, microseconds)] += 1
        slots[at + len(FIRST_TOKENS) + 1] += microseconds

    def next_tokens(self, count: int, microseconds: int) -> None:
        """More tokens have come, so long after those before."""
        if count:
            slots, at = self._slots, self._at + NEXT
            slots[at + bisect_left(_NEXT_US, microseconds // count)] += count
            slots[at + len(NEXT_TOKENS) + 1] += microseconds

    def tokens(self, prompt: int, cached: int, completion: int) -> None:
        """What a request is charged for: `cached` of its prompt's tokens were not computed."""
        slots, at = self._slots, self._at
        slots[at + INPUT] += prompt - cached
        slots[at + CACHED] += cached
        slots[at + OUTPUT] += completion
