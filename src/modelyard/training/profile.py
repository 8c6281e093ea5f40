"""A dataset's profile: how each column is distributed, and what of it could mislead a training.

It is kept with the version, so that what comes later can be compared with what was learned from.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.training.dataset import ColumnType
from modelyard.training.inspection import column_type

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS: Final = 1_000_000
"""Beyond, a sample of so many is looked at."""
MAX_COLUMNS: Final = 500
"""That are looked at."""
MAX_WARNINGS: Final = 100
BINS: Final = 20
QUANTILES: Final = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
TOP: Final = 20
"""Values of a column that are counted."""
MAX_VALUE: Final = 100
"""Characters of such a value."""
FENCE: Final = 1.5
"""Tukey's: so many times the middle half's width beyond it a number is an outlier."""
SEED: Final = 0

_MISSING: Final = 0.5
_ONE_VALUE: Final = 0.95
_OWN_VALUE: Final = 0.95
_MIN_ROWS: Final = 20
"""Below, shares say nothing."""
_PAIRED: Final = 30
"""Columns that are compared with each other, on so many rows:"""
_PAIRED_ROWS: Final = 10_000
_SAME: Final = 0.99999


class Counted(msgspec.Struct, frozen=True):
    """A value and how many rows have it."""

    value: str
    rows: int


class Histogram(msgspec.Struct, frozen=True):
    """Counts of numbers between one edge and the next; the last edge belongs to the last bin."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class ColumnProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column.

    Numbers have quantiles (by `0.05` and the like), a histogram and outliers beyond Tukey's fences;
    words and truth values their most frequent values; words also the quantiles of their lengths in
    characters; times their quantiles as text.
    """

    name: str
    type: ColumnType
    missing: int
    distinct: int
    quantiles: dict[str, float | str] = {}
    deviation: float | None = None
    histogram: Histogram | None = None
    outliers: int = 0
    top: tuple[Counted, ...] = ()
    lengths: dict[str, float] = {}


class DataProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A table. `rows` is how many were looked at, `duplicates` how many repeat an earlier one."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    duplicates: int = 0
    warnings: tuple[str, ...] = ()


def profile(frame: pl.DataFrame) -> DataProfile:
    """The profile of a canonical table (see `table.py`)."""
    notes = []
    if frame.height > MAX_ROWS:
        notes.append(f"a sample of {MAX_ROWS} of {frame.height} rows was looked at")
        frame = frame.sample(MAX_ROWS, seed=SEED)
    duplicates = frame.height - frame.n_unique() if frame.height else 0
    if duplicates:
        notes.append(f"{duplicates} of {frame.height} rows repeat an earlier one")
    if frame.width > MAX_COLUMNS:
        notes.append(f"the first {MAX_COLUMNS} of {frame.width} columns were looked at")
        frame = frame.select(frame.columns[:MAX_COLUMNS])
    columns = tuple(_column(series) for series in frame.iter_columns())
    for column in columns:
        notes += _notes(column, frame.height)
        if column.type is ColumnType.STRING:
            notes += _mixed(frame.get_column(column.name))
    notes += _same(frame, columns)
    return DataProfile(frame.height, columns, duplicates, tuple(notes[:MAX_WARNINGS]))


def _column(series: pl.Series) -> ColumnProfile:
    kind = column_type(series.dtype)
    known = series.drop_nulls()
    column = ColumnProfile(
        name=series.name,
        type=kind,
        missing=len(series) - len(known),
        distinct=known.n_unique(),
    )
    if known.is_empty() or kind is ColumnType.IMAGE:
        return column
    if kind is ColumnType.DATETIME:
        quantiles = {key: str(value.isoformat()) for key, value in _quantiles(known).items()}
        return msgspec.structs.replace(column, quantiles=quantiles)
    if kind in (ColumnType.STRING, ColumnType.BOOLEAN):
        lengths = {}
        if kind is ColumnType.STRING:
            lengths = {key: float(n) for key, n in _quantiles(known.str.len_chars()).items()}
        return msgspec.structs.replace(column, top=_top(known), lengths=lengths)
    return _numbers(column, known)


def _numbers(column: ColumnProfile, known: pl.Series) -> ColumnProfile:
    import polars as pl

    finite = known.cast(pl.Float64)
    finite = finite.filter(finite.is_finite())
    if finite.is_empty():
        return column
    values = finite.to_numpy()
    quantiles = {key: float(value) for key, value in _quantiles(finite).items()}
    low, high = quantiles["0.25"], quantiles["0.75"]
    reach = FENCE * (high - low)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(values.std())
    return msgspec.structs.replace(
        column,
        quantiles=quantiles,
        deviation=deviation if np.isfinite(deviation) else None,
        histogram=_histogram(values),
        outliers=int(np.count_nonzero((values < low - reach) | (values > high + reach))),
    )


def _histogram(values: np.ndarray[Any, Any]) -> Histogram | None:
    """None where the numbers reach further than a float64 can tell apart."""
    # Around a single value the bins reach from half below to half above it.
    spread = float(values.max()) - float(values.min()) or 1.0
    if not np.isfinite(spread) or spread < 1e-12 * float(np.abs(values).max()):
        return None
    counts, edges = np.histogram(values, BINS)
    return Histogram(tuple(map(float, edges)), tuple(map(int, counts)))


def _quantiles(known: pl.Series) -> dict[str, Any]:
    in_order = known.sort()
    last = len(in_order) - 1
    return {f"{at:g}": in_order[round(at * last)] for at in QUANTILES}


def _top(known: pl.Series) -> tuple[Counted, ...]:
    import polars as pl

    counted = known.cast(pl.String).rename("value").value_counts(name="rows")
    first = counted.sort(["rows", "value"], descending=[True, False]).head(TOP)
    return tuple(Counted(str(value)[:MAX_VALUE], rows) for value, rows in first.iter_rows())


def _notes(column: ColumnProfile, rows: int) -> list[str]:
    known, name = rows - column.missing, f"column '{column.name}'"
    if not known:
        return [f"{name} has no value in any row"]
    if column.distinct == 1 and not column.missing:
        return [f"{name} has the same value in every row"]
    notes = []
    if column.missing > _MISSING * rows:
        notes.append(f"{name} has no value in {column.missing / rows:.0%} of the rows")
    if rows < _MIN_ROWS:
        return notes
    most = column.top[0] if column.top else None
    if most is not None and most.rows > _ONE_VALUE * known:
        notes.append(
            f"{name} is '{most.value}' in {most.rows / known:.1%} of the rows: as a target its "
            "classes would be imbalanced"
        )
    whole = column.type in (ColumnType.INTEGER, ColumnType.STRING)
    if whole and column.distinct >= _OWN_VALUE * known and not _spoken(column):
        notes.append(
            f"{name} has a value of its own in nearly every row, as an identifier has: nothing "
            "can be learned from that"
        )
    return notes


def _mixed(series: pl.Series) -> list[str]:
    """Of words that are mostly numbers: a stray mark has made all of them words."""
    import polars as pl

    number = series.cast(pl.Float64, strict=False).is_not_null()
    numbers, known = int(number.sum()), len(series) - series.null_count()
    if not known / 2 < numbers < known:
        return []
    place = int((~number & series.is_not_null()).arg_max() or 0)
    return [
        f"column '{series.name}' has {numbers} numbers and {known - numbers} other values, the "
        f"first of them '{str(series[place])[:40]}' in row {place + 1}: all are taken for words"
    ]


def _spoken(column: ColumnProfile) -> bool:
    """Texts, which differ from row to row as they should."""
    return bool(column.lengths) and column.lengths["0.5"] > 40


def _same(frame: pl.DataFrame, columns: tuple[ColumnProfile, ...]) -> list[str]:
    """Pairs of columns that say the same in other words."""
    fit = [c for c in columns if c.distinct > 1 and c.type is not ColumnType.IMAGE][:_PAIRED]
    head = frame.select(c.name for c in fit).head(_PAIRED_ROWS)
    return [
        f"columns '{one.name}' and '{other.name}' say the same: if one of them is the target, the "
        "other gives it away"
        for one, other in combinations(fit, 2)
        if _told_by_each_other(head.get_column(one.name), head.get_column(other.name))
    ]


def _told_by_each_other(one: pl.Series, other: pl.Series) -> bool:
    import polars as pl

    known = pl.DataFrame({"one": one, "other": other}).drop_nulls()
    if known.height < _MIN_ROWS or known.height < _OWN_VALUE * len(one):
        return False
    if one.dtype.is_numeric() and other.dtype.is_numeric():
        pair = known.select(pl.all().cast(pl.Float64)).to_numpy()
        with np.errstate(all="ignore"):
            # NaN of a constant, or of numbers too large to be squared.
            alike = abs(float(np.corrcoef(pair.T)[0, 1]))
        return alike > _SAME
    each = known.get_column("one").n_unique()
    # Where nearly every row differs, as names do, each column tells every other one.
    if not 1 < each <= known.height / 2:
        return False
    return each == known.get_column("other").n_unique() == known.n_unique()
