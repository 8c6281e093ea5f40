"""Selection: compare algorithms by cross-validation and choose the best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Candidate
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.training.evaluator import score
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


class Comparison(msgspec.Struct, frozen=True):
    """Candidates, best first; those that failed come last, with their error."""

    leaderboard: tuple[Candidate, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> str:
        """The best algorithm's name. Raises Invalid when every candidate failed."""
        if self.leaderboard[0].score is None:
            errors = "; ".join(f"{one.algorithm}: {one.error}" for one in self.leaderboard)
            raise Invalid(f"no algorithm could be trained on this table: {errors}")
        return self.leaderboard[0].algorithm


def compare(
    algorithms: Sequence[Algorithm], problem: Problem, rows: Rows, rules: Rules, report: Report
) -> Comparison:
    """Score the algorithms that suit the problem."""
    suited, notes = _suited(algorithms, problem)
    if len(rows) > COMPARED_ROWS:
        notes.append(f"the algorithms were compared on a sample of {COMPARED_ROWS} rows")
    splits = splits_of(rows, problem, rules)
    share = 1 / len(suited)
    board = [
        _Trial(algorithm, problem, splits, rules).run(portion(report, number * share, share))
        for number, algorithm in enumerate(suited)
    ]
    return Comparison(_ranked(board, rules.metric), tuple(notes))


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


class _Trial:
    """One candidate's way through the folds."""

    def __init__(
        self,
        algorithm: Algorithm,
        problem: Problem,
        splits: Sequence[tuple[Rows, Rows]],
        rules: Rules,
    ) -> None:
        self._algorithm = algorithm
        self._problem = problem
        self._splits = splits
        self._rules = rules

    def run(self, report: Report) -> Candidate:
        name, metric = self._algorithm.name, self._rules.metric
        report(Progress(f"trying {name}", 0.0, {"algorithm": name}))
        started, scores = time.monotonic(), []
        try:
            for fold, (inside, outside) in enumerate(self._splits, 1):
                scores.append(self._score(inside, outside))
                report(
                    Progress(
                        f"{name}: fold {fold} of {len(self._splits)}, {metric} {scores[-1]:.4f}",
                        fold / len(self._splits),
                        {"algorithm": name, "fold": fold, "metric": metric, "score": scores[-1]},
                    )
                )
        except Invalid as error:
            report(Progress(f"{name} failed: {error.message}", 1.0, {"algorithm": name}))
            return Candidate(name, None, seconds=_since(started), error=error.message)
        mean, spread = float(np.mean(scores)), float(np.std(scores))
        return Candidate(name, mean, spread, _since(started))

    def _score(self, inside: Rows, outside: Rows) -> float:
        fitted = fit(self._algorithm, self._problem, inside, self._rules.seed, {})
        return score(self._rules.metric, self._problem.task, fitted.pipeline, outside)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _ranked(board: Sequence[Candidate], metric: str) -> tuple[Candidate, ...]:
    sign = 1 if metric in SMALLER_IS_BETTER else -1
    # Sorting keeps the order of equals, which is the catalogue's: the simpler one comes first.
    return tuple(sorted(board, key=lambda one: (one.score is None, sign * (one.score or 0.0))))
