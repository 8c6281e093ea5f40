"""Slices: how well a model does on some of the rows, by the values of a column.

A good score of all rows may hide a bad one of few. A number is cut into quarters; of words the most
frequent ones are shown, and the others together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from modelyard.core.errors import Invalid
from modelyard.registry.evaluation import Slice
from modelyard.training.evaluation.bootstrap import intervals
from modelyard.training.evaluation.metrics import values
from modelyard.training.evaluation.prediction import Predicted
from modelyard.training.rows import Array

if TYPE_CHECKING:
    import polars as pl

MAX_SLICES: Final = 10
"""Of one column."""
MAX_VALUE: Final = 80
"""Characters."""
PARTS: Final = (0.25, 0.5, 0.75)


def check_slices(known: Sequence[str], names: Sequence[str]) -> None:
    """Raises Invalid for a column that is not known."""
    for name in names:
        if name not in known:
            listed = ", ".join(f"'{one}'" for one in known[:20])
            raise Invalid(f"there is no column '{name[:80]}' to slice by; there are: {listed}")


def slices(
    found: Predicted, held_out: pl.DataFrame, metrics: tuple[str, ...], metric: str, seed: int
) -> tuple[Slice, ...]:
    """The slices by each column of the held-out rows; `metric` gets an interval."""
    return tuple(
        _slice(found.take(np.flatnonzero(rows)), series.name, value, metrics, metric, seed)
        for series in held_out.iter_columns()
        for value, rows in _parts(series)
    )


def _slice(
    part: Predicted, column: str, value: str, metrics: tuple[str, ...], metric: str, seed: int
) -> Slice:
    interval = intervals(part, (metric,), seed).get(metric)
    return Slice(column, value[:MAX_VALUE], len(part), values(part, metrics), interval)


def _parts(series: pl.Series) -> Iterator[tuple[str, Array]]:
    missing = series.is_null().to_numpy()
    ordered = series.dtype.is_numeric() or series.dtype.is_temporal()
    if ordered and series.n_unique() > MAX_SLICES:
        yield from _stretches(series)
    else:
        yield from _values(series)
    if missing.any():
        yield "(missing)", missing


def _stretches(series: pl.Series) -> Iterator[tuple[str, Array]]:
    if series.dtype.is_float():
        series = series.fill_nan(None)
    known = series.drop_nulls().sort()
    ends = dict.fromkeys(known[int(part * len(known))] for part in PARTS)
    edges = [edge for edge in ends if edge != known[-1]]
    for low, high in zip([None, *edges], [*edges, None], strict=True):
        rows = series.is_not_null()
        if low is not None:
            rows &= series > low
        if high is not None:
            rows &= series <= high
        said = (
            f"{_said(low)} to {_said(high)}"
            if low is not None and high is not None
            else f"up to {_said(high)}"
            if high is not None
            else f"over {_said(low)}"
        )
        if rows.any():
            yield said, rows.to_numpy()


def _values(series: pl.Series) -> Iterator[tuple[str, Array]]:
    import polars as pl

    texts = series.cast(pl.String)
    counted = (
        texts.drop_nulls().value_counts().sort(["count", series.name], descending=[True, False])
    )
    kept = counted.get_column(series.name).to_list()
    if len(kept) > MAX_SLICES:
        kept = kept[: MAX_SLICES - 1]
    for value in kept:
        yield value, (texts == value).fill_null(value=False).to_numpy()
    others = texts.is_not_null() & ~texts.is_in(kept)
    if others.any():
        yield "(others)", others.to_numpy()


def _said(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
