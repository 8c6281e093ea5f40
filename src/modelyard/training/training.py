"""Training: from a table and a specification to an evaluated, converted model."""

from __future__ import annotations

from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Card, Tuning
from modelyard.training.appraisal import Appraisal
from modelyard.training.evaluator import Evaluated
from modelyard.training.fitting import Fitted, fit
from modelyard.training.groundwork import Groundwork, lay
from modelyard.training.problem import Problem
from modelyard.training.progress import portion
from modelyard.training.reasons import choice, reasons
from modelyard.training.search import Search, Searcher
from modelyard.training.selection import Comparison, Rules, compare
from modelyard.training.served_form import served_form
from modelyard.training.spec import AUTO, TrainSpec
from modelyard.training.split import Held
from modelyard.training.suspicion import suspicions
from modelyard.training.trained import Trained
from modelyard.training.trainers.algorithm import Algorithm
from modelyard.training.trainers.catalogue import ALGORITHMS
from modelyard.training.trial import Trial
from modelyard.training.trial_processes import TrialProcesses
from modelyard.training.tuning import Alone, Budget, tune
from modelyard.training.watch import CHECKPOINT_FILE, Watch

if TYPE_CHECKING:
    import polars as pl

LIBRARIES: Final = (
    "scikit-learn",
    "numpy",
    "polars",
    "onnx",
    "skl2onnx",
    "onnxruntime",
    "optuna",
)

_COMPARED, _FITTED, _EVALUATED = 0.75, 0.9, 0.93
"""How far a training has come after each of its steps."""


def train(
    table: pl.DataFrame,
    spec: TrainSpec,
    folder: Path,
    report: Report,
    past: tuple[Trial, ...] = (),
    processes: TrialProcesses | None = None,
) -> Trained:
    """Train on a canonical table (see `table.py`) and write the model's files to `folder`.

    `past` trials of a tuning that was interrupted are not run again; `processes` run the others,
    or else this process does. The result is compared with the rivals that are in the folder.

    Raises:
        Invalid: the specification does not fit the table; the message says what would.
    """
    ground = lay(table, spec)
    problem, inside, rules = ground.problem, ground.held.inside, ground.rules
    report(Progress(problem.notes[0], 0.0))
    comparison, algorithm = Comparison(), ground.algorithms[0]
    if spec.algorithm == AUTO:
        share = _COMPARED / 3 if spec.trials else _COMPARED
        line = portion(report, 0.0, share)
        comparison = compare(ground.algorithms, problem, inside, rules, line)
        algorithm = ALGORITHMS[comparison.best]
        report(Progress(choice(comparison, rules), share))
    parameters, tuning = ground.parameters, None
    if spec.trials:
        line = portion(report, _COMPARED / 3, _COMPARED * 2 / 3)
        tuning = _tuned(algorithm, ground, spec, past, processes, line)
        parameters = tuning.parameters
    report(Progress(f"training {algorithm.name} on {len(inside)} rows", _COMPARED))
    watch = Watch(portion(report, _COMPARED, _FITTED - _COMPARED), folder / CHECKPOINT_FILE)
    fitted = fit(algorithm, problem, inside, spec.seed, parameters, watch)
    report(Progress("evaluating on the held-out rows", _FITTED))
    appraisal = Appraisal(problem, spec, ground.held, ground.table, rules.metric, folder)
    evaluated, unmeasured = appraisal.appraise(
        fitted.pipeline, lambda rows: fit(algorithm, problem, rows, spec.seed, parameters).pipeline
    )
    notes = (*problem.warnings, *ground.notes, *suspicions(ground.table, problem))
    notes = (*notes, *comparison.warnings, *fitted.warnings, *unmeasured)
    card = _card(fitted, problem, ground.held, rules, evaluated, notes)
    card = msgspec.structs.replace(
        card,
        leaderboard=comparison.leaderboard,
        tuning=tuning,
        reasons=reasons(problem, spec, rules, inside, comparison, tuning),
    )
    report(Progress("converting to ONNX and comparing on the held-out rows", _EVALUATED))
    form = served_form(fitted.pipeline, problem, ground.held.outside.features, folder)
    return Trained(
        signature=form.signature,
        card=card,
        evaluation=evaluated.details,
        parity=form.parity,
        artifacts=form.artifacts,
        profile=form.profile,
        seed=spec.seed,
        parameters=_plain(fitted.pipeline.named_steps["model"].get_params()),
        libraries=libraries(algorithm),
    )


def _tuned(
    algorithm: Algorithm,
    ground: Groundwork,
    spec: TrainSpec,
    past: tuple[Trial, ...],
    processes: TrialProcesses | None,
    report: Report,
) -> Tuning:
    search = Search(algorithm, ground.problem, ground.rules, ground.parameters)
    searcher = Searcher(search, ground.held.inside)
    budget = Budget(ground.rules.metric, spec.trials, spec.tune_seconds, past)
    if processes is None:
        return tune(budget, searcher, Alone(searcher), report)
    processes.algorithm = algorithm.name
    return tune(budget, searcher, processes, report)


def _card(
    fitted: Fitted,
    problem: Problem,
    held: Held,
    rules: Rules,
    evaluated: Evaluated,
    notes: tuple[str, ...],
) -> Card:
    return Card(
        task=problem.task,
        algorithm=fitted.algorithm,
        target=problem.target,
        features=tuple(problem.features),
        train_rows=fitted.rows,
        test_rows=len(held.outside),
        split=held.split,
        metric=rules.metric,
        metrics=evaluated.metrics,
        intervals=evaluated.intervals,
        confusion=evaluated.confusion,
        warnings=notes,
    )


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


def libraries(algorithm: Algorithm) -> dict[str, str]:
    """The libraries that had a part in it, with their versions."""
    own = packages_distributions().get(algorithm.library, ())
    return {name: version(name) for name in (*LIBRARIES, *own)}
