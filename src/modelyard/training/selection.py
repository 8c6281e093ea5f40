"""Selection: fit algorithms, compare them by cross-validation, choose the best."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Candidate
from modelyard.training.evaluator import SMALLER_IS_BETTER, score
from modelyard.training.preprocessing import preprocessor
from modelyard.training.problem import Problem, Role
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import Algorithm, Fit

if TYPE_CHECKING:
    import polars as pl

COMPARED_ROWS: Final = 20_000
"""Comparing algorithms needs fewer rows than training the best of them."""

Array = np.ndarray[Any, Any]


class Fitted(msgspec.Struct, frozen=True):
    """A fitted pipeline. `rows` is how many rows it was trained on."""

    pipeline: Any
    algorithm: str
    rows: int
    warnings: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """Candidates, best first; those that failed come last, with their error."""

    leaderboard: tuple[Candidate, ...]
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> str:
        """The best algorithm's name. Raises Invalid when every candidate failed."""
        if self.leaderboard[0].score is None:
            errors = "; ".join(f"{c.algorithm}: {c.error}" for c in self.leaderboard)
            raise Invalid(f"no algorithm could be trained on this table: {errors}")
        return self.leaderboard[0].algorithm


def fit(
    algorithm: Algorithm,
    problem: Problem,
    features: pl.DataFrame,
    target: Array,
    *,
    seed: int,
    parameters: dict[str, Any],
) -> Fitted:
    """Fit preprocessing and algorithm on at most as many rows as the algorithm is bounded to.

    Raises:
        Invalid: the algorithm cannot learn from these rows; the message is the library's reason.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import Pipeline

    notes: list[str] = []
    prepare = preprocessor(problem, scaled=algorithm.scaled)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            matrix = prepare.fit_transform(features)
            limit = algorithm.row_limit(matrix.shape[1])
            if matrix.shape[0] > limit:
                chosen = _sample(target, limit, problem.task, seed)
                matrix, target = matrix[chosen], target[chosen]
                notes.append(f"{algorithm.name} was trained on a sample of {limit} rows")
            estimator = algorithm.build(
                _fit_for(problem, matrix, target, seed=seed, parameters=parameters)
            )
            estimator.fit(matrix, target)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise Invalid(f"{algorithm.name} cannot be trained: {_first_line(error)}") from error
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        notes.append(f"{algorithm.name} stopped before it converged; more iterations may help")
    pipeline = Pipeline([("prepare", prepare), ("model", estimator)])
    return Fitted(pipeline, algorithm.name, int(matrix.shape[0]), tuple(notes))


def _fit_for(
    problem: Problem, matrix: Any, target: Array, *, seed: int, parameters: dict[str, Any]
) -> Fit:
    rarest = 0
    if problem.task is TaskKind.CLASSIFICATION:
        rarest = int(np.unique(target, return_counts=True)[1].min())
    return Fit(
        task=problem.task,
        rows=matrix.shape[0],
        width=matrix.shape[1],
        seed=seed,
        sparse=not isinstance(matrix, np.ndarray),
        rarest=rarest,
        parameters=parameters,
    )


def compare(
    algorithms: Sequence[Algorithm],
    problem: Problem,
    features: pl.DataFrame,
    target: Array,
    *,
    metric: str,
    folds: int,
    seed: int,
    report: Report,
) -> Comparison:
    """Score each algorithm on the same folds of the same rows."""
    notes: tuple[str, ...] = ()
    if len(target) > COMPARED_ROWS:
        chosen = _sample(target, COMPARED_ROWS, problem.task, seed)
        features, target = features[chosen], target[chosen]
        notes = (f"the algorithms were compared on a sample of {COMPARED_ROWS} rows",)
    splits = list(_folds(problem.task, target, folds, seed))
    board = []
    for number, algorithm in enumerate(algorithms):
        report(Progress(f"trying {algorithm.name}", number / len(algorithms)))

        def heard(
            fold: int, value: float, number: int = number, name: str = algorithm.name
        ) -> None:
            report(
                Progress(
                    f"{name}: fold {fold} of {len(splits)}, {metric} {value:.4f}",
                    (number + fold / len(splits)) / len(algorithms),
                    {"algorithm": name, "fold": fold, "metric": metric, "score": value},
                )
            )

        board.append(_candidate(algorithm, problem, features, target, splits, metric, seed, heard))
    return Comparison(_ranked(board, metric), notes)


def _candidate(
    algorithm: Algorithm,
    problem: Problem,
    features: pl.DataFrame,
    target: Array,
    splits: Sequence[tuple[Array, Array]],
    metric: str,
    seed: int,
    heard: Callable[[int, float], None],
) -> Candidate:
    started, scores = time.monotonic(), []
    try:
        for fold, (inside, outside) in enumerate(splits, 1):
            fitted = fit(
                algorithm, problem, features[inside], target[inside], seed=seed, parameters={}
            )
            value = score(metric, problem.task, fitted.pipeline, features[outside], target[outside])
            scores.append(value)
            heard(fold, value)
    except Invalid as error:
        seconds = time.monotonic() - started
        return Candidate(algorithm.name, None, seconds=seconds, error=error.message)
    seconds = time.monotonic() - started
    return Candidate(
        algorithm.name, float(np.mean(scores)), float(np.std(scores)), round(seconds, 3)
    )


def _ranked(board: Sequence[Candidate], metric: str) -> tuple[Candidate, ...]:
    sign = 1 if metric in SMALLER_IS_BETTER else -1
    # Of equals the one that comes first in the catalogue, the simpler one, is better.
    return tuple(
        sorted(
            board,
            key=lambda one: (one.score is None, sign * (one.score or 0.0)),
        )
    )


def _folds(task: TaskKind, target: Array, folds: int, seed: int) -> Iterator[tuple[Array, Array]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    rows = np.zeros(len(target))
    if task is TaskKind.REGRESSION:
        count = min(folds, len(target))
        yield from KFold(count, shuffle=True, random_state=seed).split(rows)
        return
    largest = int(np.unique(target, return_counts=True)[1].max())
    splitter = StratifiedKFold(min(folds, largest), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class rarer than the folds is no reason to stop: the card warns of it.
        warnings.simplefilter("ignore")
        yield from splitter.split(rows, target)


def split(problem: Problem, target: Array, test_fraction: float, seed: int) -> tuple[Array, Array]:
    """Positions of the training rows and of the held-out rows, stratified by class if possible."""
    from sklearn.model_selection import train_test_split

    classes = None
    if problem.task is TaskKind.CLASSIFICATION:
        counts = np.unique(target, return_counts=True)[1]
        held_out = int(np.ceil(len(target) * test_fraction))
        if counts.min() >= 2 and held_out >= len(counts) <= len(target) - held_out:
            classes = target
    inside, outside = train_test_split(
        np.arange(len(target)), test_size=test_fraction, random_state=seed, stratify=classes
    )
    return np.sort(inside), np.sort(outside)


def _sample(target: Array, size: int, task: TaskKind, seed: int) -> Array:
    """Positions of a sample in which every class keeps its share, and at least one row."""
    generator = np.random.default_rng(seed)
    if task is TaskKind.REGRESSION:
        return np.sort(generator.choice(len(target), size, replace=False))
    kept = []
    for label in np.unique(target):
        places = np.flatnonzero(target == label)
        count = max(1, round(size * len(places) / len(target)))
        kept.append(generator.choice(places, min(count, len(places)), replace=False))
    return np.sort(np.concatenate(kept))


def suited(
    algorithms: Sequence[Algorithm], problem: Problem
) -> tuple[tuple[Algorithm, ...], tuple[str, ...]]:
    """The algorithms that `auto` compares, and a line on those that it passes over.

    A vocabulary makes thousands of sparse columns, on which trees and networks are slow and
    linear models are as good.
    """
    if not problem.named(Role.TEXT):
        return tuple(algorithms), ()
    taken = tuple(a for a in algorithms if a.suits_sparse)
    passed = ", ".join(a.name for a in algorithms if not a.suits_sparse)
    return taken, (f"{passed}: not tried on text; ask for one by name",)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
