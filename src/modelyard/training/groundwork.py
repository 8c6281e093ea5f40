"""Groundwork: what of a training follows from the table and the specification alone.

Every process that has a part in a training lays it for itself, and comes to the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Report
from modelyard.training.combination import check_ensemble
from modelyard.training.embedding import vectors_of
from modelyard.training.evaluation.slices import check_slices
from modelyard.training.evaluation.threshold import check_threshold
from modelyard.training.evaluator import check_metric, choose_metric
from modelyard.training.inspection import describe
from modelyard.training.preprocessing import VECTORS, features_of, target_of
from modelyard.training.problem import MIN_ROWS, Problem, define
from modelyard.training.rows import Rows
from modelyard.training.selection import Rules
from modelyard.training.spec import AUTO, TaskKind, TrainSpec
from modelyard.training.split import Held, divisible, division_of, hold_out, with_keys
from modelyard.training.tagging import check_tags
from modelyard.training.trainers.algorithm import Algorithm
from modelyard.training.trainers.catalogue import candidates, check_algorithm
from modelyard.training.watch import Watch
from modelyard.training.windows import plan_of, problem_of, windows

if TYPE_CHECKING:
    import polars as pl


class Groundwork(msgspec.Struct, frozen=True):
    """The problem, who may solve it, and the rows to learn from and to measure on.

    `table` holds the rows that can be used, `notes` what was left out of it.
    """

    problem: Problem
    algorithms: tuple[Algorithm, ...]
    parameters: dict[str, Any]
    table: pl.DataFrame
    notes: tuple[str, ...]
    held: Held
    rules: Rules


def lay(
    table: pl.DataFrame,
    spec: TrainSpec,
    folder: Path | None = None,
    report: Report = Watch().report,  # noqa: B008 - frozen
) -> Groundwork:
    """Decide all that can be decided before anything is fitted.

    In the `folder` is what the specification does not say: the embedder, if texts are to be
    embedded, of which `report` is told.

    Raises:
        Invalid: the specification does not fit the table; the message says what would.
    """
    check_algorithm(spec.algorithm)
    columns = describe(table)
    division = division_of(spec, columns)
    if spec.window:
        problem = problem_of(columns, table.height, spec)
        table = windows(table, plan_of(columns, table.height, spec))
    else:
        problem = define(columns, table.height, spec)
    algorithms = candidates(spec.algorithm, problem.task, images=problem.picture is not None)
    check_metric(spec.metric, problem.task)
    check_slices(table.columns, spec.slices)
    check_threshold(spec.threshold, problem, columns)
    check_ensemble(spec, problem, columns)
    parameters = _parameters(algorithms, spec, problem.task)
    table, undivided = divisible(table, division)
    table, dropped = usable(table, problem)
    features = features_of(table, problem)
    if problem.embedded:
        features = _with_vectors(features, problem, folder, report)
    rows = Rows(features, target_of(table, problem))
    held = hold_out(with_keys(rows, table, division), problem.task, division)
    metric = choose_metric(spec.metric, problem.task, held.inside.target)
    return Groundwork(
        problem=problem,
        algorithms=algorithms,
        parameters=parameters,
        table=table,
        notes=(*undivided, *dropped),
        held=held,
        rules=Rules(metric, spec.folds, spec.seed),
    )


def _with_vectors(
    features: pl.DataFrame, problem: Problem, folder: Path | None, report: Report
) -> pl.DataFrame:
    import polars as pl

    (column,) = problem.features
    if folder is None:
        raise Invalid("there is no folder with an embedder to read the texts with")
    vectors = vectors_of(features.get_column(column), folder, report)
    return features.with_columns(pl.Series(VECTORS, vectors))


def _parameters(
    algorithms: tuple[Algorithm, ...], spec: TrainSpec, task: TaskKind
) -> dict[str, Any]:
    if spec.algorithm == AUTO:
        if spec.parameters:
            raise Invalid(
                "parameters belong to one algorithm: name it, or leave them out with 'auto'"
            )
        return {}
    return algorithms[0].check(spec.parameters, task)


def with_target(table: pl.DataFrame, problem: Problem) -> pl.DataFrame:
    """The rows that have a target, if there is one; a number is finite as it is served."""
    import polars as pl

    if not problem.task.supervised:
        return table
    table = table.drop_nulls(problem.target)
    if problem.task is not TaskKind.REGRESSION:
        return table
    return table.filter(pl.col(problem.target).cast(pl.Float32).is_finite())


def usable(table: pl.DataFrame, problem: Problem) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows whose target is a finite number or a class of at least two rows."""
    import polars as pl

    if not problem.task.supervised:
        return table, ()
    table = table.drop_nulls(problem.target)
    if problem.task is TaskKind.REGRESSION:
        kept, what = with_target(table, problem), "an infinite target, or one beyond float32"
    elif problem.task is TaskKind.TAGGING:
        check_tags(table, problem)
        return table, ()
    elif problem.task is TaskKind.TRANSLATION:
        return table, ()
    else:
        kept = table.filter(pl.len().over(problem.target) >= 2)
        what = "a class that no other row has"
    left_out = table.height - kept.height
    if kept.height < MIN_ROWS or kept.get_column(problem.target).n_unique() < 2:
        raise Invalid(
            f"target '{problem.target}': {left_out} of {table.height} rows have {what}, "
            "and too few are left to learn from"
            if left_out
            else f"target '{problem.target}': {kept.height} rows are left to learn from; at least "
            f"{MIN_ROWS} with two different values are needed"
        )
    return kept, (f"{left_out} rows with {what} were left out",) if left_out else ()
