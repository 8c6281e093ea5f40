"""Training: from a table and a specification to an evaluated, converted model."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report
from modelyard.registry.artifact import Format
from modelyard.registry.card import Card
from modelyard.registry.parity import Parity
from modelyard.training.conversion.pipeline import Converted, convert, signature_of
from modelyard.training.evaluator import check_metric, choose_metric, evaluate
from modelyard.training.fitting import Fitted, fit
from modelyard.training.inspection import describe
from modelyard.training.parity import compare as compare_forms
from modelyard.training.preprocessing import features_of, target_of
from modelyard.training.problem import MIN_ROWS, Problem, define
from modelyard.training.progress import portion
from modelyard.training.rows import Rows
from modelyard.training.selection import Comparison, Rules, compare
from modelyard.training.spec import AUTO, TaskKind, TrainSpec
from modelyard.training.split import Held, divisible, division_of, hold_out, with_keys
from modelyard.training.suspicion import suspicions
from modelyard.training.trained import Produced, Trained
from modelyard.training.trainers.algorithm import Algorithm
from modelyard.training.trainers.catalogue import ALGORITHMS, candidates, check_algorithm
from modelyard.training.trial import Trial
from modelyard.training.tuning import Search, tune
from modelyard.training.watch import CHECKPOINT_FILE, Watch

if TYPE_CHECKING:
    import polars as pl

NATIVE_FILE: Final = "native.joblib"
ONNX_FILE: Final = "model.onnx"
FEATURES_FILE: Final = "features.json"
LIBRARIES: Final = (
    "scikit-learn",
    "numpy",
    "polars",
    "onnx",
    "skl2onnx",
    "onnxruntime",
    "optuna",
)

_log = logging.getLogger(__name__)

_COMPARED, _FITTED, _EVALUATED = 0.75, 0.9, 0.93
"""How far a training has come after each of its steps."""


def train(
    table: pl.DataFrame,
    spec: TrainSpec,
    folder: Path,
    report: Report,
    past: tuple[Trial, ...] = (),
) -> Trained:
    """Train on a canonical table (see `table.py`) and write the model's files to `folder`.

    `past` trials of a tuning that was interrupted are not run again.

    Raises:
        Invalid: the specification does not fit the table; the message says what would.
    """
    check_algorithm(spec.algorithm)
    columns = describe(table)
    problem = define(columns, table.height, spec)
    division = division_of(spec, columns)
    report(Progress(problem.notes[0], 0.0))
    algorithms = candidates(spec.algorithm, problem.task)
    check_metric(spec.metric, problem.task)
    parameters = _parameters(algorithms, spec)
    table, undivided = divisible(table, division)
    table, dropped = _usable(table, problem)
    rows = Rows(features_of(table, problem), target_of(table, problem))
    held = hold_out(with_keys(rows, table, division), problem.task, division)
    inside, outside = held.inside, held.outside
    rules = Rules(choose_metric(spec.metric, problem.task, inside.target), spec.folds, spec.seed)
    comparison = Comparison()
    algorithm = algorithms[0]
    if spec.algorithm == AUTO:
        share = _COMPARED / 3 if spec.trials else _COMPARED
        comparison = compare(algorithms, problem, inside, rules, portion(report, 0.0, share))
        algorithm = ALGORITHMS[comparison.best]
    tuning = None
    if spec.trials:
        search = Search(algorithm, problem, rules, parameters, spec.trials, spec.tune_seconds, past)
        tuning = tune(search, inside, portion(report, _COMPARED / 3, _COMPARED * 2 / 3))
        parameters = tuning.parameters
    report(Progress(f"training {algorithm.name} on {len(inside)} rows", _COMPARED))
    watch = Watch(portion(report, _COMPARED, _FITTED - _COMPARED), folder / CHECKPOINT_FILE)
    fitted = fit(algorithm, problem, inside, spec.seed, parameters, watch)
    report(Progress("evaluating on the held-out rows", _FITTED))
    notes = (*problem.warnings, *undivided, *dropped, *suspicions(table, problem))
    card = _card(fitted, problem, held, rules, comparison, (*notes, *comparison.warnings))
    card = msgspec.structs.replace(card, tuning=tuning)
    report(Progress("converting to ONNX and comparing on the held-out rows", _EVALUATED))
    converted, parity = _convert(fitted.pipeline, problem, outside.features)
    return Trained(
        signature=signature_of(fitted.pipeline, problem),
        card=card,
        parity=parity,
        artifacts=_write(fitted.pipeline, converted, folder),
        seed=spec.seed,
        parameters=_plain(fitted.pipeline.named_steps["model"].get_params()),
        libraries=libraries(),
    )


def _card(
    fitted: Fitted,
    problem: Problem,
    held: Held,
    rules: Rules,
    comparison: Comparison,
    notes: tuple[str, ...],
) -> Card:
    evaluation = evaluate(problem.task, fitted.pipeline, held.outside)
    return Card(
        task=problem.task,
        algorithm=fitted.algorithm,
        target=problem.target,
        features=tuple(problem.features),
        train_rows=fitted.rows,
        test_rows=len(held.outside),
        split=held.split,
        metric=rules.metric,
        metrics=evaluation.metrics,
        confusion=evaluation.confusion,
        leaderboard=comparison.leaderboard,
        warnings=(*notes, *fitted.warnings),
    )


def _parameters(algorithms: tuple[Algorithm, ...], spec: TrainSpec) -> dict[str, Any]:
    if spec.algorithm == AUTO:
        if spec.parameters:
            raise Invalid(
                "parameters belong to one algorithm: name it, or leave them out with 'auto'"
            )
        return {}
    return algorithms[0].check(spec.parameters)


def _usable(table: pl.DataFrame, problem: Problem) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows whose target is a finite number or a class of at least two rows."""
    import polars as pl

    if not problem.task.supervised:
        return table, ()
    table = table.drop_nulls(problem.target)
    target = pl.col(problem.target)
    if problem.task is TaskKind.REGRESSION:
        kept = table.filter(target.cast(pl.Float64).is_finite())
        what = "an infinite target"
    else:
        kept = table.filter(pl.len().over(target) >= 2)
        what = "a class that no other row has"
    left_out = table.height - kept.height
    if kept.height < MIN_ROWS or kept.get_column(problem.target).n_unique() < 2:
        raise Invalid(
            f"target '{problem.target}': {left_out} of {table.height} rows have {what}, "
            "and too few are left to learn from"
        )
    return kept, (f"{left_out} rows with {what} were left out",) if left_out else ()


def _convert(
    pipeline: Any, problem: Problem, held_out: pl.DataFrame
) -> tuple[Converted | None, Parity]:
    """The served form and how it compares; a model that has none is a result, not a failure."""
    try:
        converted = convert(pipeline, problem)
        return converted, compare_forms(converted, pipeline, problem, held_out)
    except Exception as error:  # noqa: BLE001 - converters raise errors of every kind
        _log.warning("conversion failed", exc_info=True)
        return None, Parity(False, reason=f"it cannot be converted to ONNX: {_first_line(error)}")


def _write(pipeline: Any, converted: Converted | None, folder: Path) -> tuple[Produced, ...]:
    import joblib

    joblib.dump(pipeline, folder / NATIVE_FILE, compress=3)
    produced = [Produced(NATIVE_FILE, Format.JOBLIB)]
    if converted is not None:
        (folder / ONNX_FILE).write_bytes(converted.graph)
        produced.append(Produced(ONNX_FILE, Format.ONNX))
        if converted.text is not None:
            (folder / FEATURES_FILE).write_bytes(converted.text.dump())
            produced.append(Produced(FEATURES_FILE, Format.FEATURES))
    return tuple(produced)


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that JSON can hold; the estimators inside others are named by these."""
    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        if _bare(value):
            plain[name] = value
        elif isinstance(value, list | tuple) and all(map(_bare, value)):
            plain[name] = list(value)
    return plain


def _bare(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def libraries() -> dict[str, str]:
    """The libraries that had a part in it, with their versions."""
    return {name: version(name) for name in LIBRARIES}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
