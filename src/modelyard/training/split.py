"""Splits: which rows are held out and which fold a row is in, the same way for the same seed.

Rows at random are right where rows know nothing of each other. Where they come one after another
(`time_column`), what is held out is later than all that is trained on; where several rows belong
together (`group_column`), they are on the same side. Folds follow the same rule.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.registry.card import Split
from modelyard.training.dataset import Column, ColumnType
from modelyard.training.rows import Array, Rows
from modelyard.training.spec import TaskKind, TrainSpec

if TYPE_CHECKING:
    import polars as pl

RATIO: Final = "ratio"
TIME: Final = "time"
GROUP: Final = "group"
DRAWS: Final = 20
"""Ways to choose whole groups that are tried: the one whose classes and size fit best is taken."""


class Division(msgspec.Struct, frozen=True):
    """How rows are to be held out: `method` is RATIO, TIME or GROUP, the latter two by `column`."""

    method: str
    column: str
    fraction: float
    seed: int


class Held(msgspec.Struct, frozen=True):
    """The rows to train on, the held-out ones with their `places`, and how they were chosen: as
    was asked, and as it came out.
    """

    inside: Rows
    outside: Rows
    places: Array
    division: Division
    split: Split


def division_of(spec: TrainSpec, columns: Sequence[Column]) -> Division:
    """How the specification wants rows held out.

    Raises:
        Invalid: there is no such column, or it is not fit for it.
    """
    if spec.time_column is not None and spec.group_column is not None:
        raise Invalid("rows are held out by 'time_column' or by 'group_column': name one of them")
    name = spec.time_column or spec.group_column or ""
    method = TIME if spec.time_column else GROUP if spec.group_column else RATIO
    if name:
        _check_column(name, method, {column.name: column for column in columns}, spec)
    return Division(method, name, spec.test_fraction, spec.seed)


def _check_column(name: str, method: str, columns: dict[str, Column], spec: TrainSpec) -> None:
    column = columns.get(name)
    if column is None:
        listed = ", ".join(f"'{known}'" for known in list(columns)[:20])
        raise Invalid(f"there is no column '{name[:80]}' to split by {method}; there are: {listed}")
    if name == spec.target:
        raise Invalid(f"the target '{name}' cannot be the {method} column as well")
    if method == TIME and column.type in (ColumnType.STRING, ColumnType.BOOLEAN):
        raise Invalid(
            f"time column '{name}' holds {column.type}s; times, dates or numbers are needed"
        )
    if column.distinct < 2:
        raise Invalid(f"{method} column '{name}' has a single value: there is nothing to split by")


def divisible(table: pl.DataFrame, division: Division) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows that have a time or a group, and a line about those that have none."""
    if division.method == RATIO:
        return table, ()
    import polars as pl

    known = pl.col(division.column).is_not_null()
    if table.get_column(division.column).dtype.is_float():
        known &= pl.col(division.column).is_finite()
    kept = table.filter(known)
    missing = table.height - kept.height
    note = f"{missing} rows have no '{division.column}' to split by and were left out"
    return kept, (note,) if missing else ()


def with_keys(rows: Rows, table: pl.DataFrame, division: Division) -> Rows:
    """The rows of the table with the times or groups that they are split by."""
    if division.method == TIME:
        times = table.get_column(division.column).to_numpy()
        return msgspec.structs.replace(rows, times=times)
    if division.method == GROUP:
        groups = table.get_column(division.column).rank("dense").to_numpy().astype(np.int64) - 1
        return msgspec.structs.replace(rows, groups=groups)
    return rows


def hold_out(rows: Rows, task: TaskKind, division: Division) -> Held:
    """Divide the rows.

    Raises:
        Invalid: one side would be empty, or the rows to train on would be of a single class.
    """
    if rows.times is not None:
        return _by_time(rows, rows.times, task, division)
    if rows.groups is not None:
        return _by_group(rows, rows.groups, task, division)
    return _by_ratio(rows, task, division)


def _by_ratio(rows: Rows, task: TaskKind, division: Division) -> Held:
    """By class where every class reaches both sides."""
    from sklearn.model_selection import train_test_split

    classes = None
    if task is TaskKind.CLASSIFICATION:
        counts = np.unique(rows.target, return_counts=True)[1]
        held = int(np.ceil(len(rows) * division.fraction))
        if counts.min() >= 2 and held >= len(counts) <= len(rows) - held:
            classes = rows.target
    outside = train_test_split(
        np.arange(len(rows)),
        test_size=division.fraction,
        random_state=division.seed,
        stratify=classes,
    )[1]
    held_out = _mask(len(rows), outside)
    return _held(rows, held_out, division, seed=division.seed, stratified=classes is not None)


def _by_time(rows: Rows, times: Array, task: TaskKind, division: Division) -> Held:
    """Rows of one time are on the same side."""
    in_order = np.sort(times)
    boundary = in_order[len(rows) - int(np.ceil(len(rows) * division.fraction))]
    if boundary == in_order[0]:
        later = in_order[in_order > boundary]
        if not later.size:
            raise Invalid(f"time column '{division.column}' has a single value in the usable rows")
        boundary = later[0]
    said = _said(boundary)
    held = _held(rows, times >= boundary, division, boundary=said)
    _check_classes(held, task, f"before {said}")
    return held


def _said(time: np.generic) -> str:
    """A time or a number as people write it: no more digits than it needs."""
    if isinstance(time, np.datetime64):
        return str(np.datetime_as_string(time, unit="auto"))
    return str(time)


def _by_group(rows: Rows, groups: Array, task: TaskKind, division: Division) -> Held:
    known = np.unique(groups)
    if len(known) < 2:
        raise Invalid(f"group column '{division.column}' has a single group in the usable rows")
    codes = np.unique(rows.target, return_inverse=True)[1]
    if task is not TaskKind.CLASSIFICATION:
        codes = np.zeros(len(rows), dtype=np.int64)
    totals = np.bincount(codes)
    generator = np.random.default_rng(division.seed)
    best, found = np.inf, np.zeros(len(rows), dtype=bool)
    for _ in range(DRAWS):
        drawn = _some_groups(groups, division.fraction, generator)
        # Squared, so that one class off by much counts for more than many by a little.
        shares = np.bincount(codes[drawn], minlength=len(totals)) / totals
        distance = float(np.sum((shares - division.fraction) ** 2))
        if distance < best:
            best, found = distance, drawn
    held = _held(
        rows,
        found,
        division,
        seed=division.seed,
        stratified=task is TaskKind.CLASSIFICATION,
        train_groups=len(np.unique(groups[~found])),
        test_groups=len(np.unique(groups[found])),
    )
    _check_classes(held, task, "outside the held-out groups")
    return held


def _some_groups(groups: Array, fraction: float, generator: np.random.Generator) -> Array:
    """Rows of groups at random, about the fraction of all rows; at least one group on each side."""
    sizes = np.bincount(groups)
    order = generator.permutation(np.flatnonzero(sizes))
    reached = np.cumsum(sizes[order])
    count = int(np.argmin(np.abs(reached - fraction * len(groups)))) + 1
    return np.isin(groups, order[: min(count, len(order) - 1)])


def _check_classes(held: Held, task: TaskKind, where: str) -> None:
    if task is TaskKind.CLASSIFICATION and len(np.unique(held.inside.target)) < 2:
        only = held.inside.target[0]
        raise Invalid(f"{where} all rows are of class '{only}': there is nothing to tell apart")


def _held(
    rows: Rows,
    outside: Array,
    division: Division,
    *,
    seed: int | None = None,
    stratified: bool = False,
    boundary: str = "",
    train_groups: int = 0,
    test_groups: int = 0,
) -> Held:
    places = np.flatnonzero(outside)
    split = Split(
        method=division.method,
        train_rows=len(rows) - len(places),
        test_rows=len(places),
        fraction=division.fraction,
        seed=seed,
        column=division.column,
        stratified=stratified,
        boundary=boundary,
        train_groups=train_groups,
        test_groups=test_groups,
    )
    inside = rows.take(np.flatnonzero(~outside))
    return Held(inside, rows.take(places), places, division, split)


def _mask(size: int, places: Array) -> Array:
    mask = np.zeros(size, dtype=bool)
    mask[places] = True
    return mask


def folds(rows: Rows, task: TaskKind, count: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Training and validation rows of each fold of a cross-validation.

    Raises:
        Invalid: there are too few groups or times, or rows of each class.
    """
    if rows.times is not None:
        places = _folds_by_time(rows, rows.times, task, count)
    else:
        places = _folds_at_random(rows, task, count, seed)
    for inside, outside in places:
        yield rows.take(inside), rows.take(outside)


def _folds_at_random(
    rows: Rows, task: TaskKind, count: int, seed: int
) -> Sequence[tuple[Array, Array]]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    classified, groups = task is TaskKind.CLASSIFICATION, rows.groups
    units = len(rows) if groups is None else len(np.unique(groups))
    if groups is not None and units < 2:
        raise Invalid("the rows to train on are of a single group: there is nothing to fold by")
    count = min(count, units)
    if classified:
        count = min(count, int(np.unique(rows.target, return_counts=True)[1].max()))
        if count < 2:
            raise Invalid("no class has two of the rows to train on: there is nothing to fold by")
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    else:
        kind = KFold if groups is None else GroupKFold
    splitter = kind(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer rows than there are folds is no reason to stop.
        warnings.simplefilter("ignore")
        return list(splitter.split(np.zeros(len(rows)), rows.target, groups))


def _folds_by_time(
    rows: Rows, times: Array, task: TaskKind, count: int
) -> Sequence[tuple[Array, Array]]:
    """Each fold is validated on the rows that follow those that it is trained on, which grow from
    fold to fold; rows of one time stay together.
    """
    order = np.argsort(times, kind="stable")
    in_order = times[order]
    even = [len(rows) * fold // (count + 1) for fold in range(1, count + 1)]
    cuts = sorted({int(np.searchsorted(in_order, in_order[cut])) for cut in even} - {0})
    places = [
        (order[:cut], order[cut:end]) for cut, end in zip(cuts, [*cuts[1:], len(rows)], strict=True)
    ]
    if task is TaskKind.CLASSIFICATION:
        places = [part for part in places if len(np.unique(rows.target[part[0]])) > 1]
    if not places:
        raise Invalid(
            "the rows to train on cannot be folded by time: nearly all are of one time or one class"
        )
    return places
