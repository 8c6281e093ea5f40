"""Suspicion: what in the data would make a good score a false one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from modelyard.training.problem import Problem, Role
from modelyard.training.spec import TaskKind

if TYPE_CHECKING:
    import polars as pl

IMBALANCE: Final = 10.0
"""The largest class outnumbers the smallest so many times before the card warns."""
MAX_ROWS: Final = 100_000
"""Rows that are looked at for leaks."""
_NEARLY: Final = 0.99
"""The share of rows whose class a column tells before the card warns."""
_PARTS: Final = 20
_ROWS_EACH: Final = 10
"""Rows for each value, in the mean, before a value's usual class means anything."""
_SAME: Final = 0.99999
"""The correlation beyond which a feature is the target in other words."""


def suspicions(table: pl.DataFrame, problem: Problem) -> tuple[str, ...]:
    """Lines for the card: imbalance, repeated rows, and features that give the target away."""
    if not problem.task.supervised:
        return ()
    lines = []
    if problem.task is TaskKind.CLASSIFICATION:
        lines += _imbalance(table, problem)
    used = table.select(*problem.features, problem.target)
    repeated = used.height - used.n_unique()
    if repeated:
        lines.append(
            f"{repeated} of {used.height} rows repeat an earlier one, so a held-out row may be a "
            "training row too"
        )
    head = used.head(MAX_ROWS)
    gives_away = _labels if problem.task is TaskKind.CLASSIFICATION else _numbers
    for name, role in problem.features.items():
        if role not in (Role.NUMBER, Role.CATEGORY, Role.DATE):
            continue
        share = 1.0 if gives_away(head, name, problem) else _told(head, name, problem)
        if share >= _NEARLY:
            rows = "every row" if share == 1.0 else f"{share:.1%} of the rows"
            lines.append(
                f"column '{name}' alone tells '{problem.target}' in {rows}: "
                "is it known when a prediction is made?"
            )
    return tuple(lines)


def _told(head: pl.DataFrame, name: str, problem: Problem) -> float:
    """The share of rows whose class is the usual one for their value of the column, or for the
    twentieth of the values that theirs is among; zero where chance comes near to that.
    """
    import polars as pl

    if problem.task is not TaskKind.CLASSIFICATION:
        return 0.0
    value = pl.col(name)
    if problem.features[name] is not Role.CATEGORY:
        value = value.rank("dense") * _PARTS // (value.n_unique() + 1)
    pairs = head.select(value.alias("value"), pl.col(problem.target).alias("class"))
    counted = pairs.group_by("value", "class").len()
    usual = counted.group_by("value").agg(pl.col("len").max())
    if usual.height * _ROWS_EACH > head.height:
        return 0.0
    told = int(usual.get_column("len").sum()) / head.height
    sizes = pairs.get_column("class").value_counts().get_column("count").to_numpy()
    chance = float(sizes.max()) / head.height
    return told if 1 - told < (1 - chance) / 10 else 0.0


def _imbalance(table: pl.DataFrame, problem: Problem) -> list[str]:
    counts = table.get_column(problem.target).value_counts(sort=True)
    most, least = counts.row(0), counts.row(-1)
    if most[1] <= IMBALANCE * least[1]:
        return []
    return [
        f"the classes are imbalanced: {most[1]} rows of '{most[0]}', {least[1]} of '{least[0]}'"
    ]


def _labels(head: pl.DataFrame, name: str, problem: Problem) -> bool:
    """Whether each value of the column (or stretch of its values) belongs to one class."""
    known = head.select(name, problem.target).drop_nulls(name)
    if known.height < head.height:
        return False
    classes = known.get_column(problem.target).n_unique()
    if problem.features[name] is Role.CATEGORY:
        values = known.get_column(name).n_unique()
        return 2 * values <= known.height and known.n_unique() == values
    ordered = known.sort(name, problem.target).get_column(problem.target)
    changes = int((ordered != ordered.shift()).sum())
    values = known.get_column(name).n_unique()
    return changes == classes - 1 and known.n_unique() == values


def _numbers(head: pl.DataFrame, name: str, problem: Problem) -> bool:
    """Whether the column is the target up to scale."""
    if problem.features[name] is not Role.NUMBER:
        return False
    known = head.select(name, problem.target).drop_nulls()
    if known.height < head.height:
        return False
    values = known.get_column(name).cast(float).to_numpy()
    target = known.get_column(problem.target).cast(float).to_numpy()
    if not (np.isfinite(values).all() and values.std() > 0 and target.std() > 0):
        return False
    return abs(float(np.corrcoef(values, target)[0, 1])) > _SAME
