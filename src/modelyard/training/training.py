"""Training: from a table and a specification to an evaluated, converted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Card
from modelyard.training.appraisal import Appraisal
from modelyard.training.choosing import Choice, choose
from modelyard.training.evaluator import Evaluated
from modelyard.training.fitting import Fitted
from modelyard.training.groundwork import lay
from modelyard.training.problem import Problem
from modelyard.training.progress import portion
from modelyard.training.reasons import premises
from modelyard.training.selection import Rules
from modelyard.training.served_form import served_form
from modelyard.training.spec import TrainSpec
from modelyard.training.split import Held
from modelyard.training.streaming import fit_stream, lay_stream
from modelyard.training.suspicion import suspicions
from modelyard.training.trained import Trained
from modelyard.training.trainers.algorithm import Algorithm
from modelyard.training.trial import Trial
from modelyard.training.trial_processes import TrialProcesses
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

_LOOKED, _EMBEDDED, _CHOSEN, _FITTED, _EVALUATED = 0.2, 0.5, 0.75, 0.9, 0.93
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
    ground = lay(table, spec, folder, portion(report, 0.0, _EMBEDDED))
    problem, inside = ground.problem, ground.held.inside
    begun = _EMBEDDED if problem.embedded else 0.0
    report(Progress(problem.notes[0], begun))
    line = portion(report, begun, _CHOSEN - begun)
    chosen = choose(ground, spec, past, processes, line)
    report(Progress(f"training {chosen.name} on {len(inside)} rows", _CHOSEN))
    watch = Watch(portion(report, _CHOSEN, _FITTED - _CHOSEN), folder / CHECKPOINT_FILE)
    fitted = chosen.fit(inside, watch)
    report(Progress("evaluating on the held-out rows", _FITTED))
    return _finished(chosen, fitted, spec, folder, report)


def train_stream(table: Path, spec: TrainSpec, folder: Path, report: Report) -> Trained:
    """Train on a canonical table that is read in parts, and write the model's files to `folder`.

    Raises:
        Invalid: the specification does not fit the table; the message says what would.
    """
    laid = lay_stream(table, spec, portion(report, 0.0, _LOOKED))
    ground = laid.ground
    report(Progress(ground.problem.notes[0], _LOOKED))
    fitted = fit_stream(laid, portion(report, _LOOKED, _FITTED - _LOOKED))
    as_asked = f"the algorithm {spec.algorithm}, as asked"
    chosen = Choice(ground, ground.algorithms[0], ground.parameters, reasons=(as_asked,))
    report(Progress("evaluating on the held-out rows", _FITTED))
    return _finished(chosen, fitted, spec, folder, report)


def _finished(
    chosen: Choice, fitted: Fitted, spec: TrainSpec, folder: Path, report: Report
) -> Trained:
    """Evaluate, convert and write down."""
    ground = chosen.ground
    problem, inside, rules = ground.problem, ground.held.inside, ground.rules
    appraisal = Appraisal(problem, spec, ground.held, ground.table, rules.metric, folder)
    evaluated, unmeasured = appraisal.appraise(
        fitted.pipeline, lambda rows: chosen.refit(rows).pipeline
    )
    notes = (*problem.warnings, *ground.notes, *suspicions(ground.table, problem))
    notes = (*notes, *chosen.comparison.warnings, *fitted.warnings, *unmeasured)
    card = _card(fitted, problem, ground.held, rules, evaluated, notes)
    card = msgspec.structs.replace(
        card,
        leaderboard=chosen.comparison.leaderboard,
        tuning=chosen.tuning,
        ensemble=chosen.combination.told() if chosen.combination else None,
        reasons=(*premises(problem, spec, rules, inside), *chosen.reasons),
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
        parameters=_plain(fitted.parameters),
        libraries=libraries(chosen.algorithms),
    )


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


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
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


def libraries(algorithms: Sequence[Algorithm]) -> dict[str, str]:
    """The libraries that had a part in it, with their versions."""
    imported = [algorithm.library for algorithm in algorithms if algorithm.library]
    # It reads what every installed package says of itself: a third of a second.
    known = packages_distributions() if imported else {}
    own = [name for library in imported for name in known.get(library, ())]
    return {name: version(name) for name in (*LIBRARIES, *own)}
