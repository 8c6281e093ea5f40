"""Fitting: one algorithm with its preprocessing, on as many rows as it is good for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from modelyard.core.errors import Invalid, first_line
from modelyard.training.feature_selection import kept, selector
from modelyard.training.preprocessing import preprocessor
from modelyard.training.problem import Problem
from modelyard.training.rows import Rows, sample
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import Algorithm, Fit, Reads
from modelyard.training.trainers.word2vec_linear import READING
from modelyard.training.watch import Watch


class Fitted(msgspec.Struct, frozen=True):
    """A fitted pipeline. `rows` is how many rows it was trained on, `parameters` are all that its
    estimator has, the defaults among them.
    """

    pipeline: Any
    algorithm: str
    rows: int
    parameters: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def fit(
    algorithm: Algorithm,
    problem: Problem,
    rows: Rows,
    seed: int,
    parameters: Mapping[str, Any],
    watch: Watch = Watch(),  # noqa: B008 - frozen
) -> Fitted:
    """Fit the algorithm. One that takes long tells `watch` how it comes along.

    Raises:
        Invalid: it cannot learn from these rows; the message is the library's reason.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import Pipeline

    prepare = _preparation(algorithm, problem, rows, parameters)
    target, notes = rows.target, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            matrix = prepare.fit_transform(rows.features, target if problem.treatments else None)
            select = _selection(problem, matrix, target, seed)
            if select is not None:
                matrix = matrix[:, kept(select)]
            limit = algorithm.row_limit(_width(algorithm, matrix))
            if len(target) > limit:
                places = sample(target, limit, problem.task, seed)
                matrix, target = matrix[places], target[places]
                notes.append(f"{algorithm.name} was trained on a sample of {len(places)} rows")
            own = {k: value for k, value in parameters.items() if k not in READING}
            purpose = _purpose(problem, matrix, target, seed, own)
            vocabulary = getattr(prepare, "vocabulary", 0)
            estimator = algorithm.build(replace(purpose, vocabulary=vocabulary, watch=watch))
            estimator.fit(matrix, target)
        except Exception as error:
            if not _says_why(error, algorithm):
                raise
            raise Invalid(f"{algorithm.name} cannot be trained: {first_line(error)}") from error
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        notes.append(f"{algorithm.name} stopped before it converged; more iterations may help")
    between = [("select", select)] if select is not None else []
    pipeline = Pipeline([("prepare", prepare), *between, ("model", estimator)])
    return Fitted(pipeline, algorithm.name, len(target), estimator.get_params(), tuple(notes))


def _says_why(error: Exception, algorithm: Algorithm) -> bool:
    """Whether the library refuses these rows or parameters; some have an error of their own."""
    if isinstance(error, ValueError | ArithmeticError):
        return True
    return type(error).__module__.partition(".")[0] == algorithm.library


def _selection(problem: Problem, matrix: Any, target: Any, seed: int) -> Any:
    """The fitted selector, if columns are to be selected."""
    if problem.selection is None:
        return None
    rows, width = matrix.shape
    select = selector(problem.selection, problem.task, rows, width, seed)
    return select.fit(matrix, target if problem.task.supervised else None)


def _preparation(
    algorithm: Algorithm, problem: Problem, rows: Rows, parameters: Mapping[str, Any]
) -> Any:
    """What makes of the features what the algorithm learns from, not fitted yet."""
    if algorithm.reads not in (Reads.TEXT, Reads.SEQUENCE) or problem.steps:
        return preprocessor(problem, rows.features, scaled=algorithm.scaled)
    from modelyard.training.sequences import TokenSequences

    (column,) = problem.features
    reading = {name: value for name, value in parameters.items() if name in READING}
    tagged = problem.task is TaskKind.TAGGING
    return TokenSequences(column, problem.tokens, split=tagged, **reading)


def _width(algorithm: Algorithm, matrix: Any) -> int:
    """The cells of a row that make work: of a sparse matrix those that are not zero, if the
    algorithm knows to pass over the others.
    """
    if isinstance(matrix, np.ndarray) or not algorithm.suits_sparse:
        return int(matrix.shape[1])
    return int(matrix.nnz // matrix.shape[0]) + 1


def _purpose(
    problem: Problem, matrix: Any, target: Any, seed: int, parameters: Mapping[str, Any]
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
        picture=problem.picture,
        steps=problem.steps,
        parameters=parameters,
    )
