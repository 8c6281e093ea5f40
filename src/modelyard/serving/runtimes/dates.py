"""Times as a model takes them: numbers in which a trend and a season can be seen.

The graph of a model begins at these numbers: it has no operator that reads a date.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Tensor

PARTS: Final = ("years", "month", "day", "weekday", "hour", "sine", "cosine")
"""Years since 2000 with their fraction; Monday is 0; hours with their fraction; then where in the
year it is, on a circle.
"""
MAX_CHARACTERS: Final = 40
_START: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - all of these are UTC
_YEAR: Final = 365.2425 * 86_400
_UNKNOWN: Final = (math.nan,) * len(PARTS)


class DateInput(msgspec.Struct, frozen=True):
    """`name` is the input in the signature, `tensor` that of the graph."""

    name: str
    tensor: str


def date_parts(dates: Tensor, name: str) -> Tensor:
    """The `PARTS` of ISO 8601 dates or times, [n] strings to FP32 [n, 7]; NaN of empty ones.

    A time with a zone is moved to UTC, one without is taken for UTC.

    Raises:
        Invalid: one of them is no date; names the row.
    """
    parts = np.empty((len(dates), len(PARTS)), np.float32)
    for row, text in enumerate(dates):
        parts[row] = _parts(text, name, row) if text else _UNKNOWN
    return parts


def _parts(text: str, name: str, row: int) -> tuple[float, ...]:
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            time = time.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise Invalid(
            f"input '{name}' is {text[:40]!r} in row {row}; expected a date or a time as "
            "2026-11-22 or 2026-11-22T08:30:00Z"
        ) from None
    years = (time - _START).total_seconds() / _YEAR
    hour = time.hour + time.minute / 60 + time.second / 3600
    angle = 2 * math.pi * (time.timetuple().tm_yday - 1 + hour / 24) / 365.2425
    return years, time.month, time.day, time.weekday(), hour, math.sin(angle), math.cos(angle)
