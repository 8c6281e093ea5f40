"""Combination: the best candidates of a comparison as one model, and whether that is worth it.

Every candidate was asked about rows that it was not trained on, fold by fold. From these answers
both methods are scored, by the same folds and metric as the candidates themselves; the head of a
stacking is scored on each fold by heads that learned from the other folds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.registry.card import Candidate, Ensemble, EnsembleMember
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.training.dataset import Column
from modelyard.training.ensemble import Head, combine, ensemble, learn_head
from modelyard.training.evaluation.prediction import Estimated, Predicted, classified, estimated
from modelyard.training.evaluator import score_of
from modelyard.training.fitting import Fitted, fit
from modelyard.training.problem import Problem
from modelyard.training.progress import portion
from modelyard.training.rows import Array, Rows
from modelyard.training.selection import Crossed, Passage, Rules, scored, since, splits_of
from modelyard.training.spec import AUTO, Ensembling, TaskKind, TrainSpec
from modelyard.training.trainers.algorithm import PREDICTING
from modelyard.training.watch import Watch

_ROUNDING: Final = 1e-9
MAX_CLASSES: Final = 100
"""That candidates are combined over: what they said of each row is kept for each class."""


class Combination(msgspec.Struct, frozen=True):
    """Candidates that are to answer together, the best first, and the head that they have learned,
    if they do not vote. `candidate` is how they did; without a score they cannot.
    """

    method: Ensembling
    candidate: Candidate
    crossed: tuple[Crossed, ...]
    head: Head | None = None
    folds: int = 0
    rows: int = 0

    def better_than(self, score: float, metric: str) -> bool:
        """Whether it has done better than that, by more than rounding."""
        own = self.candidate.score
        if own is None:
            return False
        gain = score - own if metric in SMALLER_IS_BETTER else own - score
        return gain > _ROUNDING * max(1.0, abs(score))

    def told(self) -> Ensemble:
        """What the card says of it."""
        weights = getattr(self.head, "coef_", None)
        shown = weights if weights is not None and np.ndim(weights) == 1 else None
        members = [
            EnsembleMember(
                one.candidate.algorithm,
                one.candidate.score or 0.0,
                dict(one.parameters),
                None if shown is None else float(shown[place]),
            )
            for place, one in enumerate(self.crossed)
        ]
        return Ensemble(str(self.method), tuple(members), self.folds, self.rows)


def check_ensemble(spec: TrainSpec, problem: Problem, columns: Sequence[Column]) -> None:
    """Raises Invalid where the specification wants an ensemble that cannot be."""
    if spec.ensemble is None:
        return
    if spec.algorithm != AUTO:
        raise Invalid(
            f"an ensemble is made of the best that 'auto' compares, and '{spec.algorithm}' stands "
            "alone: leave out the one or the other"
        )
    if problem.task not in PREDICTING or problem.picture is not None:
        what = "pictures" if problem.picture is not None else problem.task
        raise Invalid(f"ensembles predict a class or a number from tables and texts, not {what}")
    classes = next((one.distinct for one in columns if one.name == problem.target), 0)
    if problem.task is TaskKind.CLASSIFICATION and classes > MAX_CLASSES:
        raise Invalid(f"ensembles tell at most {MAX_CLASSES} classes apart; these are {classes}")
    if spec.ensemble is Ensembling.STACKING and spec.time_column is not None:
        raise Invalid(
            "stacking learns from folds that all rows are in, and folds by time leave out the "
            "earliest: take voting"
        )


def combination(
    method: Ensembling, crossed: Sequence[Crossed], problem: Problem, rows: Rows, rules: Rules
) -> Combination:
    """Score the method on what the candidates said of the folds, and learn the head.

    `rows` are those that the candidates were compared on.
    """
    started, task = time.monotonic(), problem.task
    if len(crossed) < 2:
        reason = "fewer than two candidates tell what can be combined: probabilities, or numbers"
        return Combination(method, Candidate(str(method), None, error=reason), tuple(crossed))
    targets = [outside.target for _, outside in splits_of(rows, problem, rules)]
    # Of all rows: folds by time never ask about the earliest.
    known = np.unique(rows.target)
    said = [[_answers(one.said[fold], known) for one in crossed] for fold in range(len(targets))]
    head, scores = None, list[float]()
    try:
        for fold, target in enumerate(targets):
            if method is Ensembling.STACKING:
                head = _head_without(fold, said, targets, task, rules.seed)
            found = _found(target, combine(said[fold], head, task), _classes(head, known), task)
            scores.append(score_of(rules.metric, found))
        if method is Ensembling.STACKING:
            head = _head_without(None, said, targets, task, rules.seed)
    except (Invalid, ValueError) as error:
        failed = Candidate(str(method), None, seconds=since(started), error=str(error)[:300])
        return Combination(method, failed, tuple(crossed))
    return Combination(
        method=method,
        candidate=scored(str(method), scores, started),
        crossed=tuple(crossed),
        head=head,
        folds=len(targets),
        rows=sum(map(len, targets)),
    )


def fit_together(
    found: Combination, problem: Problem, rows: Rows, rules: Rules, watch: Watch
) -> Fitted:
    """Train the members on the rows: an ensemble in place of a pipeline."""
    share = 1 / len(found.crossed)
    fitted = [
        fit(
            one.algorithm,
            problem,
            rows,
            rules.seed,
            one.parameters,
            Watch(portion(watch.report, place * share, share)),
        )
        for place, one in enumerate(found.crossed)
    ]
    return Fitted(
        pipeline=ensemble(problem.task, [one.pipeline for one in fitted], found.head),
        algorithm=str(found.method),
        rows=max(one.rows for one in fitted),
        parameters={
            f"{one.algorithm}.{name}": value
            for one in fitted
            for name, value in one.parameters.items()
        },
        warnings=tuple(line for one in fitted for line in one.warnings),
    )


def learned_again(found: Combination, problem: Problem, rows: Rows, rules: Rules) -> Combination:
    """The same candidates, with a head that knows nothing but these rows."""
    if found.head is None:
        return found
    passage = Passage(problem, splits_of(rows, problem, rules), rules, heard=True)
    crossed = [passage.run(one.algorithm, one.parameters, Watch().report) for one in found.crossed]
    again = combination(found.method, crossed, problem, rows, rules)
    if again.head is None:
        raise Invalid(f"{found.method} failed: {again.candidate.error}")
    return again


def _answers(said: Predicted, known: Array) -> Array:
    """Probabilities of all known classes [n, classes], or numbers [n, 1]."""
    if isinstance(said, Estimated):
        return said.predicted.reshape(-1, 1)
    place = {str(label): at for at, label in enumerate(known)}
    answers = np.zeros((len(said), len(known)))
    answers[:, [place[label] for label in said.labels]] = said.probabilities
    return answers


def _head_without(
    fold: int | None,
    said: Sequence[Sequence[Array]],
    targets: Sequence[Array],
    task: TaskKind,
    seed: int,
) -> Head:
    """The head that has learned from all folds but this one."""
    others = [place for place in range(len(targets)) if place != fold]
    members = range(len(said[0]))
    answers = [np.concatenate([said[place][member] for place in others]) for member in members]
    return learn_head(answers, np.concatenate([targets[place] for place in others]), task, seed)


def _classes(head: Any, known: Array) -> Array:
    return known if head is None else np.asarray(getattr(head, "classes_", known))


def _found(target: Array, answers: Array, classes: Array, task: TaskKind) -> Predicted:
    if task is TaskKind.REGRESSION:
        return estimated(target, answers[:, 0])
    return classified(target, classes[answers.argmax(axis=1)], classes, answers)
