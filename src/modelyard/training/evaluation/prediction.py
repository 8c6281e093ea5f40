"""What a model says of some rows beside what is true of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelyard.core.errors import Invalid, first_line
from modelyard.training.rows import Array, Rows
from modelyard.training.spec import TaskKind

if TYPE_CHECKING:
    from modelyard.training.problem import Problem
    from modelyard.training.served_graph import ServedGraph


class Classified(msgspec.Struct, frozen=True):
    """Classes by their places among the `labels`: int64 [rows].

    `probabilities` are float64 [rows, labels], each row adding up to one; None where a model gives
    none. A label that is true of some row and unknown to the model has the probability zero.
    """

    labels: tuple[str, ...]
    truth: Array
    predicted: Array
    probabilities: Array | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, places: Array) -> Classified:
        """The rows at these positions."""
        likely = self.probabilities
        likely = None if likely is None else likely[places]
        return Classified(self.labels, self.truth[places], self.predicted[places], likely)


class Estimated(msgspec.Struct, frozen=True):
    """Numbers: float64 [rows]."""

    truth: Array
    predicted: Array

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, places: Array) -> Estimated:
        """The rows at these positions."""
        return Estimated(self.truth[places], self.predicted[places])


Predicted = Classified | Estimated


def classified(
    truth: Array, predicted: Array, classes: Array, probabilities: Array | None
) -> Classified:
    """Classes and probabilities as a model of the `classes` gives them.

    Raises:
        Invalid: probabilities are no numbers; sums of them would be none either.
    """
    if not np.isin(truth, classes).all() or not np.isin(predicted, classes).all():
        known = np.unique(np.concatenate([classes, truth, predicted]))
        if probabilities is not None:
            widened = np.zeros((len(truth), len(known)))
            widened[:, np.searchsorted(known, classes)] = probabilities
            probabilities = widened
        classes = known
    if probabilities is not None:
        probabilities = np.asarray(probabilities, dtype=np.float64)
        lost = int((~np.isfinite(probabilities)).any(axis=1).sum())
        if lost:
            raise Invalid(
                f"the model's probabilities are no numbers for {lost} of {len(truth)} rows: "
                "columns may hold numbers that are too small or too large for it"
            )
        totals = probabilities.sum(axis=1, keepdims=True)
        probabilities = probabilities / np.where(totals > 0, totals, 1.0)
    return Classified(
        labels=tuple(str(label) for label in classes),
        truth=np.searchsorted(classes, truth),
        predicted=np.searchsorted(classes, predicted),
        probabilities=probabilities,
    )


def estimated(truth: Array, predicted: Array) -> Estimated:
    """Numbers as a model gives them.

    Raises:
        Invalid: they are infinite, or none.
    """
    numbers = np.asarray(predicted, dtype=np.float64).reshape(-1)
    lost = int((~np.isfinite(numbers)).sum())
    if lost:
        raise Invalid(
            f"the model's answers are no finite numbers for {lost} of {len(numbers)} rows: columns "
            "may hold numbers that are too small or too large for it"
        )
    return Estimated(np.asarray(truth, dtype=np.float64), numbers)


@contextmanager
def answering() -> Iterator[None]:
    """Raises Invalid for what a model raises that is asked about rows."""
    try:
        yield
    except (ValueError, ArithmeticError) as error:
        raise Invalid(
            f"the model cannot answer the rows that it is measured on: {first_line(error)}"
        ) from error


def ask(model: Any, rows: Rows, task: TaskKind, *, likely: bool = True) -> Predicted:
    """What a fitted scikit-learn classifier or regressor says, with probabilities if `likely`.

    Raises:
        Invalid: it cannot answer these rows, though it has learned from others.
    """
    probabilities = None
    with answering():
        predicted = np.asarray(model.predict(rows.features))
        if task is TaskKind.REGRESSION:
            return estimated(rows.target, predicted)
        if likely and hasattr(model, "predict_proba"):
            probabilities = model.predict_proba(rows.features)
    return classified(rows.target, predicted, np.asarray(model.classes_), probabilities)


def ask_served(graph: ServedGraph, rows: Rows, problem: Problem) -> Predicted:
    """What a model says of the rows as it is served, with probabilities if it gives them."""
    outputs, truth = graph.answers(rows.features, problem), rows.target
    first = graph.signature.outputs[0]
    if problem.task is TaskKind.REGRESSION:
        return estimated(truth, outputs[first.name])
    labels = np.asarray(outputs[first.name])
    if truth.dtype == object:
        labels = np.array([str(label) for label in labels], dtype=object)
    if len(graph.signature.outputs) == 1:
        return classified(truth, labels, np.unique(labels), None)
    second = graph.signature.outputs[1]
    classes = np.array(second.columns, dtype=object if truth.dtype == object else np.int64)
    return classified(truth, labels, classes, outputs[second.name])
