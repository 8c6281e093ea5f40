"""Selection: compare algorithms by cross-validation and choose the best."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Candidate
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.training.evaluation.prediction import Classified, Predicted, ask
from modelyard.training.evaluator import score, score_of
from modelyard.training.fitting import fit
from modelyard.training.problem import Problem, Role
from modelyard.training.progress import portion
from modelyard.training.rows import Rows, sample
from modelyard.training.split import folds
from modelyard.training.trainers.algorithm import Algorithm

COMPARED_ROWS: Final = 10_000
"""Comparing algorithms needs fewer rows than training the best of them."""


class Rules(msgspec.Struct, frozen=True):
    """What candidates are compared by: the same folds of the same rows, one metric."""

    metric: str
    folds: int
    seed: int


class Crossed(msgspec.Struct, frozen=True):
    """A candidate's way through the folds, and what it said of each fold's rows, which it was not
    trained on: nothing where nobody asked, or where it cannot be combined with others.
    """

    candidate: Candidate
    algorithm: Algorithm
    parameters: Mapping[str, Any] = {}
    said: tuple[Predicted, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """Candidates, best first; those that failed come last, with their error.

    `crossed` are the best of those that can be combined, if that is wanted, best first, too.
    """

    leaderboard: tuple[Candidate, ...] = ()
    warnings: tuple[str, ...] = ()
    crossed: tuple[Crossed, ...] = ()

    @property
    def best(self) -> str:
        """The best algorithm's name. Raises Invalid when every candidate failed."""
        if self.leaderboard[0].score is None:
            errors = "; ".join(f"{one.algorithm}: {one.error}" for one in self.leaderboard)
            raise Invalid(f"no algorithm could be trained on this table: {errors}")
        return self.leaderboard[0].algorithm


def compare(
    algorithms: Sequence[Algorithm],
    problem: Problem,
    rows: Rows,
    rules: Rules,
    report: Report,
    keep: int = 0,
) -> Comparison:
    """Score the algorithms that suit the problem; `keep` what so many of the best said."""
    suited, notes = _suited(algorithms, problem)
    if len(rows) > COMPARED_ROWS:
        notes.append(f"the algorithms were compared on a sample of {COMPARED_ROWS} rows")
    splits = splits_of(rows, problem, rules)
    share = 1 / len(suited)
    board, kept = list[Candidate](), tuple[Crossed, ...]()
    for number, algorithm in enumerate(suited):
        passage = Passage(problem, splits, rules, heard=keep > 0)
        crossed = passage.run(algorithm, {}, portion(report, number * share, share))
        board.append(crossed.candidate)
        if crossed.said:
            kept = best_first((*kept, crossed), rules.metric)[:keep]
    return Comparison(ranked(board, rules.metric), tuple(notes), kept)


def splits_of(rows: Rows, problem: Problem, rules: Rules) -> list[tuple[Rows, Rows]]:
    """The folds, of a sample where there are more rows than comparing needs."""
    if len(rows) > COMPARED_ROWS:
        rows = rows.take(sample(rows.target, COMPARED_ROWS, problem.task, rules.seed))
    return list(folds(rows, problem.task, rules.folds, rules.seed))


def _suited(
    algorithms: Sequence[Algorithm], problem: Problem
) -> tuple[Sequence[Algorithm], list[str]]:
    """A vocabulary makes thousands of sparse columns, on which trees and networks are slow and
    linear models as good: `auto` passes over them there.
    """
    if not problem.named(Role.TEXT):
        return algorithms, []
    passed = ", ".join(a.name for a in algorithms if not a.suits_sparse)
    suited = [a for a in algorithms if a.suits_sparse]
    return suited, [f"not tried on text by 'auto', only if asked for by name: {passed}"]


class Passage:
    """The way through the folds; what candidates say on it is `heard`, or not."""

    def __init__(
        self,
        problem: Problem,
        splits: Sequence[tuple[Rows, Rows]],
        rules: Rules,
        *,
        heard: bool = False,
    ) -> None:
        self._problem = problem
        self._splits = splits
        self._rules = rules
        self._heard = heard

    def run(self, algorithm: Algorithm, parameters: Mapping[str, Any], report: Report) -> Crossed:
        """One candidate's way. What it cannot learn from is the candidate's error."""
        name, metric = algorithm.name, self._rules.metric
        report(Progress(f"trying {name}", 0.0, {"algorithm": name}))
        started, scores, said = time.monotonic(), list[float](), list[Predicted]()
        try:
            for fold, (inside, outside) in enumerate(self._splits, 1):
                fitted = fit(algorithm, self._problem, inside, self._rules.seed, parameters)
                scores.append(self._score(fitted.pipeline, outside, said))
                report(
                    Progress(
                        f"{name}: fold {fold} of {len(self._splits)}, {metric} {scores[-1]:.4f}",
                        fold / len(self._splits),
                        {"algorithm": name, "fold": fold, "metric": metric, "score": scores[-1]},
                    )
                )
        except Invalid as error:
            report(Progress(f"{name} failed: {error.message}", 1.0, {"algorithm": name}))
            failed = Candidate(name, None, seconds=since(started), error=error.message)
            return Crossed(failed, algorithm, parameters)
        complete = tuple(said) if len(said) == len(self._splits) else ()
        return Crossed(scored(name, scores, started), algorithm, parameters, complete)

    def _score(self, pipeline: Any, outside: Rows, said: list[Predicted]) -> float:
        metric, task = self._rules.metric, self._problem.task
        if not self._heard:
            return score(metric, task, pipeline, outside)
        found = ask(pipeline, outside, task)
        if not isinstance(found, Classified) or found.probabilities is not None:
            said.append(found)
        return score_of(metric, found)


def scored(name: str, scores: Sequence[float], started: float) -> Candidate:
    """A candidate with its scores, one for each fold."""
    return Candidate(name, float(np.mean(scores)), float(np.std(scores)), since(started))


def since(started: float) -> float:
    """Seconds, for people."""
    return round(time.monotonic() - started, 3)


def ranked(board: Sequence[Candidate], metric: str) -> tuple[Candidate, ...]:
    """The best first, those that failed last."""
    # Sorting keeps the order of equals, which is the catalogue's: the simpler one comes first.
    return tuple(sorted(board, key=lambda one: (one.score is None, _order(one, metric))))


def best_first(crossed: Sequence[Crossed], metric: str) -> tuple[Crossed, ...]:
    """In the order of the leaderboard."""
    return tuple(sorted(crossed, key=lambda one: _order(one.candidate, metric)))


def _order(candidate: Candidate, metric: str) -> float:
    sign = 1 if metric in SMALLER_IS_BETTER else -1
    return sign * (candidate.score or 0.0)
