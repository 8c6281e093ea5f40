"""Metrics, each defined once: over rows that count for more or less.

A metric takes predictions and weights of shape [draws, rows] and gives [draws] values. Weights of
one are the plain metric; the counts of a bootstrap draw make a draw's value; zeros and ones are a
slice. So an interval, a slice and the comparison of two models measure by the same definition.

Definitions are scikit-learn's. Precision, recall and F1 are macro averages (each class counts the
same), the ROC AUC and the area under precision and recall of several classes one-against-rest.
`ece` is the expected calibration error of the likeliest class over 15 bins (Guo et al. 2017). A
value that is not defined is NaN: a mean percentage of a truth of zero, an area with one class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

import numpy as np

from modelyard.training.evaluation.prediction import Classified, Estimated, Predicted
from modelyard.training.rows import Array

BINS: Final = 15
"""Of confidence, for the expected calibration error."""
_TINY: Final = float(np.finfo(np.float64).eps)


class Tally:
    """Counts by class of weighted rows, each [draws, labels]."""

    def __init__(self, found: Classified, weights: Array) -> None:
        self.found = found
        self.weights = weights

    @cached_property
    def total(self) -> Array:
        return np.asarray(self.weights.sum(axis=1))

    @cached_property
    def hits(self) -> Array:
        return self._by(self.found.truth, self.weights * (self.found.truth == self.found.predicted))

    @cached_property
    def true(self) -> Array:
        return self._by(self.found.truth, self.weights)

    @cached_property
    def said(self) -> Array:
        return self._by(self.found.predicted, self.weights)

    @cached_property
    def areas(self) -> tuple[Array, Array]:
        """ROC AUC and average precision of each class against the rest, or of the second of two,
        in the mean: both from one sorting of the rows, each [draws].
        """
        found = self.found
        if found.probabilities is None or len(found.labels) < 2:
            undefined = np.full(len(self.weights), np.nan)
            return undefined, undefined
        roc, precision = [], []
        for label in [1] if len(found.labels) == 2 else range(len(found.labels)):
            scores = found.probabilities[:, label]
            order = np.argsort(scores, kind="stable")
            starts = np.flatnonzero(np.diff(scores[order], prepend=-1.0))
            weights = self.weights[:, order]
            total = np.add.reduceat(weights, starts, axis=1)
            weights *= found.truth[order] == label
            hits = np.add.reduceat(weights, starts, axis=1)
            roc.append(_roc(hits, total - hits))
            precision.append(_average_precision(hits, total - hits))
        return np.asarray(np.mean(roc, axis=0)), np.asarray(np.mean(precision, axis=0))

    def _by(self, codes: Array, weights: Array) -> Array:
        return sums_by(codes, len(self.found.labels), weights)


def sums_by(codes: Array, size: int, weights: Array) -> Array:
    """Sums of the weights [draws, rows] by the rows' codes: [draws, size]."""
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    sums = np.zeros((len(weights), size))
    if len(order):
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums


def _ratio(part: Array, whole: Array, empty: float = np.nan) -> Array:
    safe = np.where(whole > 0, whole, 1.0)
    return np.where(whole > 0, part / safe, empty)


def _macro(values: Array, counted: Array) -> Array:
    """The mean over the classes that count."""
    return _ratio((values * counted).sum(axis=1), counted.sum(axis=1))


def _accuracy(tally: Tally) -> Array:
    return _ratio(tally.hits.sum(axis=1), tally.total)


def _balanced_accuracy(tally: Tally) -> Array:
    return _macro(_ratio(tally.hits, tally.true, 0.0), tally.true > 0)


def _precision(tally: Tally) -> Array:
    return _macro(_ratio(tally.hits, tally.said, 0.0), tally.true + tally.said > 0)


def _recall(tally: Tally) -> Array:
    return _macro(_ratio(tally.hits, tally.true, 0.0), tally.true + tally.said > 0)


def _f1(tally: Tally) -> Array:
    both = tally.true + tally.said
    return _macro(_ratio(2 * tally.hits, both, 0.0), both > 0)


def _roc(positive: Array, negative: Array) -> Array:
    """Of weights by score, the lowest first: a tie counts for a half."""
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return _ratio((positive * below).sum(axis=1), pairs)


def _average_precision(positive: Array, negative: Array) -> Array:
    hits = np.cumsum(positive[:, ::-1], axis=1)
    misses = np.cumsum(negative[:, ::-1], axis=1)
    precision = _ratio(hits, hits + misses, 0.0)
    whole = np.where(negative.sum(axis=1) > 0, positive.sum(axis=1), 0.0)
    return _ratio((positive[:, ::-1] * precision).sum(axis=1), whole)


def _log_loss(tally: Tally) -> Array:
    found = tally.found
    if found.probabilities is None:
        return np.full(len(tally.weights), np.nan)
    right = found.probabilities[np.arange(len(found)), found.truth]
    return _ratio(tally.weights @ -np.log(np.clip(right, _TINY, 1.0)), tally.total)


def _brier(tally: Tally) -> Array:
    found = tally.found
    if found.probabilities is None:
        return np.full(len(tally.weights), np.nan)
    squares = np.sum(found.probabilities**2, axis=1)
    right = found.probabilities[np.arange(len(found)), found.truth]
    errors = squares - 2 * right + 1
    return _ratio(tally.weights @ (errors / 2 if len(found.labels) == 2 else errors), tally.total)


def _calibration_error(tally: Tally) -> Array:
    found = tally.found
    if found.probabilities is None:
        return np.full(len(tally.weights), np.nan)
    confidence = found.probabilities.max(axis=1)
    right = found.probabilities.argmax(axis=1) == found.truth
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = sums_by(bins, BINS, tally.weights * (right - confidence))
    return _ratio(np.abs(gaps).sum(axis=1), tally.total)


CLASSES: Final[Mapping[str, Callable[[Tally], Array]]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
    "roc_auc": lambda tally: tally.areas[0],
    "pr_auc": lambda tally: tally.areas[1],
    "log_loss": _log_loss,
    "brier": _brier,
    "ece": _calibration_error,
}
OF_PROBABILITIES: Final = frozenset({"roc_auc", "pr_auc", "log_loss", "brier", "ece"})
BY_RANK: Final = frozenset({"roc_auc", "pr_auc"})
"""These sort the rows by each class: the work grows with the classes, too."""


def _r2(found: Estimated, weights: Array) -> Array:
    total = weights.sum(axis=1)
    # About the middle of all rows, or the squares of large numbers would swallow the differences.
    truth = found.truth - found.truth.mean()
    spread = weights @ truth**2 - _ratio((weights @ truth) ** 2, total, 0.0)
    errors = weights @ (found.truth - found.predicted) ** 2
    some = spread > 1e-12 * (weights @ found.truth**2)
    return 1 - _ratio(errors, np.where(some, spread, 0.0))


def _mean(weights: Array, values: Array) -> Array:
    return _ratio(weights @ values, weights.sum(axis=1))


def _median_error(found: Estimated, weights: Array) -> Array:
    """The mean of the two middle ones, as of a median of an even number of rows."""
    errors = np.abs(found.truth - found.predicted)
    order = np.argsort(errors, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    last = len(order) - 1
    lower = np.minimum((reached < half).sum(axis=1), last)
    upper = np.minimum((reached <= half).sum(axis=1), last)
    middle = (errors[order][lower] + errors[order][upper]) / 2
    return np.where(reached[:, -1] > 0, middle, np.nan)


def _percentage_error(found: Estimated, weights: Array) -> Array:
    if not np.all(found.truth):
        return np.full(len(weights), np.nan)
    return _mean(weights, np.abs((found.truth - found.predicted) / found.truth))


NUMBERS: Final[Mapping[str, Callable[[Estimated, Array], Array]]] = {
    "r2": _r2,
    "rmse": lambda found, weights: np.sqrt(_mean(weights, (found.truth - found.predicted) ** 2)),
    "mae": lambda found, weights: _mean(weights, np.abs(found.truth - found.predicted)),
    "median_ae": _median_error,
    "mape": _percentage_error,
}


def measure(found: Predicted, weights: Array, names: tuple[str, ...]) -> dict[str, Array]:
    """The named metrics, each [draws], of rows that count as in `weights` [draws, rows]."""
    if isinstance(found, Estimated):
        return {name: NUMBERS[name](found, weights) for name in names}
    tally = Tally(found, weights)
    return {name: CLASSES[name](tally) for name in names}


def values(found: Predicted, names: tuple[str, ...]) -> dict[str, float]:
    """The named metrics of all rows; one that is not defined is left out."""
    measured = measure(found, np.ones((1, len(found))), names)
    return {name: float(value[0]) for name, value in measured.items() if np.isfinite(value[0])}
