"""Windows of time series: a table of steps becomes one of windows, which every algorithm can take.

A row is made for each step that has `window` steps up to it and a target `horizon` steps after
it, within one series. Its features are the values of these steps, oldest first, step by step:
`load[t-2]`, `warm[t-2]`, `load[t-1]`, ... `warm[t]`. Its time is the target's, so that what is held
out is later than every target that is trained on. Steps are taken as equally far apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.training.dataset import Column, ColumnType
from modelyard.training.problem import Problem, Role, define
from modelyard.training.spec import TrainSpec

if TYPE_CHECKING:
    import polars as pl

MAX_CELLS: Final = 100_000_000
"""Of the windows' table: 400 MB as numbers of 32 bits."""
_NUMBERS: Final = (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.BOOLEAN)


class Plan(msgspec.Struct, frozen=True):
    """What windows are made of: the columns whose values they hold, in table order."""

    values: tuple[str, ...]
    target: str
    time: str
    series: str
    window: int
    horizon: int

    @property
    def names(self) -> tuple[str, ...]:
        """The features, step by step."""
        steps = range(self.window - 1, -1, -1)
        return tuple(f"{name}[t-{s}]" if s else f"{name}[t]" for s in steps for name in self.values)


def plan_of(columns: Sequence[Column], rows: int, spec: TrainSpec) -> Plan:
    """Which columns the windows hold.

    Raises:
        Invalid: no time column, no column of numbers, or too many cells; the message names it.
    """
    by_name = {column.name: column for column in columns}
    if spec.time_column is None:
        raise Invalid("windows need 'time_column', which says in which order the steps are")
    for name in (spec.time_column, spec.series_column, *(spec.include or ()), *spec.exclude):
        if name is not None and name not in by_name:
            raise Invalid(f"there is no column '{name[:80]}' to make windows of")
    if spec.series_column is not None and spec.series_column in (spec.time_column, spec.target):
        raise Invalid(
            f"series_column '{spec.series_column}' is the time or the target as well: it tells "
            "which steps are of one series"
        )
    if spec.target is None or spec.target not in by_name:
        raise Invalid("windows need a 'target': the column whose later value is predicted")
    values = _values(by_name, spec)
    if not values:
        raise Invalid("no column of numbers is left to make windows of")
    cells = rows * spec.window * len(values)
    if cells > MAX_CELLS:
        raise Invalid(
            f"{rows} rows in windows of {spec.window} steps of {len(values)} columns make {cells} "
            f"numbers; at most {MAX_CELLS} are made: include fewer columns, or take a shorter "
            "window"
        )
    series = spec.series_column or ""
    return Plan(values, spec.target, spec.time_column, series, spec.window, spec.horizon)


def _values(columns: Mapping[str, Column], spec: TrainSpec) -> tuple[str, ...]:
    """The columns of numbers; the target among them if it is known before it is to be told."""
    chosen = []
    for column in columns.values():
        told = column.name == spec.target
        if column.name in (spec.time_column, spec.series_column, *spec.exclude):
            continue
        if spec.include is not None and column.name not in spec.include:
            continue
        if column.type not in _NUMBERS or column.distinct < 2:
            if spec.include is not None:
                raise Invalid(
                    f"column '{column.name}' cannot be in windows: they hold numbers that change"
                )
            continue
        if told and spec.horizon == 0:
            continue
        chosen.append(column.name)
    return tuple(chosen)


def problem_of(columns: Sequence[Column], rows: int, spec: TrainSpec) -> Problem:
    """What is to be learned from the windows of such a table.

    Raises:
        Invalid: as `plan_of` and `define` do.
    """
    plan = plan_of(columns, rows, spec)
    (target,) = (column for column in columns if column.name == plan.target)
    steps = [Column(name, ColumnType.NUMBER, 0, rows) for name in plan.names]
    problem = define(
        [*steps, target], rows, msgspec.structs.replace(spec, include=None, exclude=())
    )
    left_out = [
        f"column '{column.name}' is not in the windows: they hold numbers that change"
        for column in columns
        if column.name not in (*plan.values, plan.target, plan.time, plan.series, *spec.exclude)
        and spec.include is None
    ]
    return msgspec.structs.replace(
        problem,
        features=dict.fromkeys(plan.names, Role.NUMBER),
        steps=plan.window,
        warnings=(*problem.warnings, *left_out),
    )


def windows(table: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """The table of windows: features, target, and the time of the target.

    Raises:
        Invalid: no series is long enough.
    """
    import polars as pl

    order = [plan.series, plan.time] if plan.series else [plan.time]
    table = table.drop_nulls(order).sort(order, maintain_order=True)

    def shifted(name: str, steps: int) -> pl.Expr:
        moved = pl.col(name).shift(steps)
        return moved.over(plan.series) if plan.series else moved

    behind = [
        shifted(name, step).cast(pl.Float64).alias(made)
        for made, (step, name) in zip(
            plan.names,
            ((s, name) for s in range(plan.window - 1, -1, -1) for name in plan.values),
            strict=True,
        )
    ]
    place = pl.int_range(pl.len())
    length = pl.len()
    if plan.series:
        place, length = place.over(plan.series), length.over(plan.series)
    whole = (place >= plan.window - 1) & (place + plan.horizon < length)
    made = table.select(
        *behind,
        shifted(plan.target, -plan.horizon).alias(plan.target),
        shifted(plan.time, -plan.horizon).alias(plan.time),
        whole.alias(_WHOLE),
    )
    made = made.filter(pl.col(_WHOLE)).drop(_WHOLE)
    if made.is_empty():
        raise Invalid(
            f"no series has the {plan.window + plan.horizon} steps that a window of {plan.window} "
            f"and a horizon of {plan.horizon} take"
        )
    return made


_WHOLE: Final = "\x00whole"
