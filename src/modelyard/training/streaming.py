"""Learning from a table that is too large for memory, a part of it at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid, first_line
from modelyard.core.tasks import Report
from modelyard.registry.card import Split
from modelyard.training.dataset import Column
from modelyard.training.evaluation.slices import check_slices
from modelyard.training.evaluator import check_metric, choose_metric
from modelyard.training.fitting import Fitted
from modelyard.training.groundwork import Groundwork, usable, with_target
from modelyard.training.inspection import describe
from modelyard.training.preprocessing import features_of, preprocessor, target_of
from modelyard.training.problem import Problem, define
from modelyard.training.progress import portion
from modelyard.training.rows import Array, Rows
from modelyard.training.selection import Rules
from modelyard.training.spec import TaskKind, TrainSpec
from modelyard.training.split import Division, Held
from modelyard.training.stream import TableStream
from modelyard.training.trainers.algorithm import Algorithm, Fit
from modelyard.training.trainers.catalogue import ALGORITHMS, candidates

if TYPE_CHECKING:
    import polars as pl

HASH: Final = "hash"
"""How rows are held out: each by a hash of its number."""
MAX_PASSES: Final = 100
_ENOUGH: Final = 1e-3
"""A passage that makes the loss smaller by less, of what it was, is the last one."""
_WHOLE: Final = (
    "trials",
    "ensemble",
    "time_column",
    "group_column",
    "window",
    "threshold",
    "selection",
    "image_size",
)
"""What needs the table as a whole."""


class StreamedGround(msgspec.Struct, frozen=True):
    """The groundwork of the samples, and the table that they come from."""

    ground: Groundwork
    stream: TableStream
    train_rows: int


def check_stream(spec: TrainSpec, problem: Problem, rows: int, columns: int) -> None:
    """Raises Invalid where the specification wants a stream, and something that cannot have one."""
    if not spec.stream:
        return
    default = TrainSpec("")
    asked = [name for name in _WHOLE if getattr(spec, name) != getattr(default, name)]
    if asked:
        raise Invalid(f"a stream is read row by row; {', '.join(asked)} needs the whole table")
    if problem.picture is not None:
        raise Invalid("pictures are not read as a stream, but as a whole")
    algorithm = ALGORITHMS.get(spec.algorithm)
    if algorithm is None or algorithm.streaming is None:
        able = ", ".join(name for name, one in ALGORITHMS.items() if one.streaming)
        raise Invalid(
            f"algorithm '{spec.algorithm}' learns from the whole table, which is {rows} rows of "
            f"{columns} columns, about {rows * columns * 8 >> 20} MiB as numbers; these learn from "
            f"a stream: {able}"
        )


def lay_stream(path: Path, spec: TrainSpec, report: Report) -> StreamedGround:
    """Decide all that can be decided before anything is fitted, from samples of the table.

    Raises:
        Invalid: the specification does not fit the table; the message says what would.
    """
    import polars as pl

    stream = TableStream(path, spec.seed, spec.test_fraction)
    sampled = stream.sample(report)
    looked_at = pl.concat([sampled.train, sampled.held_out])
    if spec.target in looked_at.columns:
        # Those without a target are counted when all rows are read.
        looked_at = looked_at.drop_nulls(spec.target)
    columns: tuple[Column, ...] = describe(looked_at)
    problem = define(columns, looked_at.height, spec)
    check_stream(spec, problem, sampled.train_rows + sampled.held_rows, len(columns))
    algorithms = candidates(spec.algorithm, problem.task)
    check_metric(spec.metric, problem.task)
    check_slices([column.name for column in columns], spec.slices)
    train, _ = usable(sampled.train, problem)
    held_out = with_target(sampled.held_out, problem)
    if held_out.is_empty():
        raise Invalid(
            f"none of the {sampled.held_rows} held-out rows has a target to measure by: hold out "
            "more, or learn from the whole table"
        )
    outside = Rows(features_of(held_out, problem), target_of(held_out, problem))
    inside = Rows(features_of(train, problem), target_of(train, problem))
    held = Held(
        inside=inside,
        outside=outside,
        places=np.arange(len(inside), len(inside) + len(outside)),
        division=Division(HASH, "", spec.test_fraction, spec.seed),
        split=Split(
            HASH, sampled.train_rows, len(outside), fraction=spec.test_fraction, seed=spec.seed
        ),
    )
    notes = []
    if sampled.held_out.height < sampled.held_rows:
        notes.append(
            f"measured on a sample of {len(outside)} of the {sampled.held_rows} held-out rows"
        )
    if sampled.train.height < sampled.train_rows:
        notes.append(
            f"the columns' preparation was learned from a sample of {len(inside)} of the "
            f"{sampled.train_rows} training rows"
        )
    metric = choose_metric(spec.metric, problem.task, inside.target)
    ground = Groundwork(
        problem=problem,
        algorithms=algorithms,
        parameters=algorithms[0].check(spec.parameters, problem.task),
        table=pl.concat([train, held_out]),
        notes=tuple(notes),
        held=held,
        rules=Rules(metric, spec.folds, spec.seed),
    )
    return StreamedGround(ground, stream, sampled.train_rows)


def fit_stream(laid: StreamedGround, report: Report) -> Fitted:
    """Learn from all training rows, in as many passages as it takes.

    Raises:
        Invalid: the algorithm cannot learn from these rows; the message is the library's reason.
    """
    algorithm = laid.ground.algorithms[0]
    try:
        return _Learning(laid, algorithm).run(report)
    except (ValueError, ArithmeticError) as error:
        raise Invalid(f"{algorithm.name} cannot be trained: {first_line(error)}") from error


class _Learning:
    """An estimator on its way through the table."""

    def __init__(self, laid: StreamedGround, algorithm: Algorithm) -> None:
        if algorithm.streaming is None:
            raise Invalid(f"algorithm '{algorithm.name}' does not learn from a stream")
        ground, inside = laid.ground, laid.ground.held.inside
        self._laid = laid
        self._problem = ground.problem
        self._name = algorithm.name
        self._prepare = preprocessor(ground.problem, inside.features, scaled=algorithm.scaled)
        truth = inside.target if ground.problem.treatments else None
        self._matrix = self._prepare.fit(inside.features, truth).transform(inside.features)
        self._target = _Target(ground.problem, inside.target, ground.parameters)
        self._estimator = algorithm.streaming.build(
            Fit(
                task=ground.problem.task,
                rows=laid.train_rows,
                width=self._matrix.shape[1],
                seed=ground.rules.seed,
                sparse=not isinstance(self._matrix, np.ndarray),
                parameters=ground.parameters,
                squared_norm=_squared_norm(self._matrix),
            )
        )
        streaming = algorithm.streaming
        usual = max(streaming.passes, -(-streaming.steps // laid.train_rows))
        self._passes = min(int(ground.parameters.get("max_iter") or usual), MAX_PASSES)

    def run(self, report: Report) -> Fitted:
        """Passages, until the loss on the sample is about as it was."""
        from sklearn.pipeline import Pipeline

        rows, before, turn = 0, np.inf, 0
        for turn in range(self._passes):
            line = portion(report, turn / self._passes, 1 / self._passes)
            rows = sum(self._learn(part) for part in self._rows(turn, line))
            loss = self._target.loss(self._estimator, self._matrix)
            if not before - loss > _ENOUGH * abs(before) and turn:
                break
            before = loss
        if not rows:
            raise Invalid(f"{self._name} cannot be trained: no row has a target")
        self._target.restore(self._estimator)
        pipeline = Pipeline([("prepare", self._prepare), ("model", self._estimator)])
        note = f"learned from {rows} rows as a stream, in {turn + 1} passages"
        if rows < self._laid.train_rows:
            note += (
                f"; {self._laid.train_rows - rows} have no target, or one too rare to be learned"
            )
        return Fitted(pipeline, self._name, rows, self._estimator.get_params(), (note,))

    def _rows(self, turn: int, report: Report) -> Iterator[pl.DataFrame]:
        problem = self._problem
        columns = [*problem.features, *([problem.target] if problem.target else [])]
        return self._laid.stream.training(columns, turn, report)

    def _learn(self, part: pl.DataFrame) -> int:
        """Learn from the rows of a part that have a target; how many they are."""
        import polars as pl

        problem, part = self._problem, with_target(part, self._problem)
        if not part.height:
            return 0
        target = target_of(part, problem)
        known = self._target.knows(target)
        if not known.all():
            part, target = part.filter(pl.Series(known)), target[known]
        if part.height:
            matrix = self._prepare.transform(features_of(part, problem))
            self._target.learn(self._estimator, matrix, target)
        return part.height


class _Target:
    """What is learned, as estimators in parts want it: numbers of about unit size, all classes
    told beforehand, classes weighed by how rare they are if that is wanted.
    """

    def __init__(self, problem: Problem, target: Array, parameters: Mapping[str, Any]) -> None:
        self._task = problem.task
        self._target = target
        self._classes, counts = np.unique(target, return_counts=True)
        self._mean, self._scale = 0.0, 1.0
        self._weights: Array | None = None
        if problem.task is TaskKind.REGRESSION:
            self._mean, self._scale = float(target.mean()), float(target.std()) or 1.0
        elif parameters.get("class_weight") == "balanced":
            self._weights = len(target) / (len(counts) * counts)

    def knows(self, target: Array) -> Array:
        """Whether the sample has the class of each row."""
        if self._task is not TaskKind.CLASSIFICATION:
            return np.ones(len(target), bool)
        return np.isin(target, self._classes)

    def learn(self, estimator: Any, matrix: Any, target: Array) -> None:
        """One step of the estimator."""
        if not self._task.supervised:
            estimator.partial_fit(matrix)
        elif self._task is TaskKind.REGRESSION:
            estimator.partial_fit(matrix, (target - self._mean) / self._scale)
        else:
            weights = None
            if self._weights is not None:
                weights = self._weights[np.searchsorted(self._classes, target)]
            estimator.partial_fit(matrix, target, self._classes, weights)

    def loss(self, estimator: Any, matrix: Any) -> float:
        """On the sample; the smaller the better."""
        from sklearn.metrics import log_loss

        if not self._task.supervised:
            return -float(estimator.score(matrix))
        if self._task is TaskKind.REGRESSION:
            truth = (self._target - self._mean) / self._scale
            return float(np.mean((estimator.predict(matrix) - truth) ** 2))
        likely = estimator.predict_proba(matrix)
        return float(log_loss(self._target, likely, labels=self._classes))

    def restore(self, estimator: Any) -> None:
        """Make a linear model of the target as it is."""
        if self._task is TaskKind.REGRESSION:
            estimator.coef_ = estimator.coef_ * self._scale
            estimator.intercept_ = estimator.intercept_ * self._scale + self._mean


def _squared_norm(matrix: Any) -> float:
    """The squared length that nearly all rows stay below."""
    squares = matrix.multiply(matrix) if hasattr(matrix, "multiply") else matrix * matrix
    return float(np.percentile(np.asarray(squares.sum(axis=1)), 99))
