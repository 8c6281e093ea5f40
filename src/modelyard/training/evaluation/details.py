"""What a plot shows: scores by class, curves, calibration and residuals, in few points."""

from __future__ import annotations

from typing import Final

import numpy as np

from modelyard.registry.card import Confusion
from modelyard.registry.evaluation import Calibration, ClassScore, Curve, Evaluation, Residuals
from modelyard.training.evaluation.metrics import Tally
from modelyard.training.evaluation.prediction import Classified, Estimated, Predicted
from modelyard.training.rows import Array

POINTS: Final = 100
"""Of a curve."""
MAX_CURVES: Final = 10
"""Classes beyond which none has a curve of its own."""
MAX_CLASSES: Final = 100
"""Classes beyond which there is no confusion matrix and no score of each."""
BINS: Final = 10
"""Of probabilities that are set beside what was seen."""
SCATTER: Final = 500
"""Rows whose residuals are kept."""
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def details(found: Predicted) -> Evaluation:
    """The parts of an evaluation that follow from predictions alone."""
    if isinstance(found, Estimated):
        return Evaluation(residuals=_residuals(found))
    roc, precision_recall = _curves(found)
    return Evaluation(
        classes=_classes(found),
        roc=roc,
        precision_recall=precision_recall,
        calibration=_calibration(found),
    )


def confusion(found: Classified) -> Confusion | None:
    """The confusion matrix, unless there are too many classes to look at one."""
    size = len(found.labels)
    if size > MAX_CLASSES:
        return None
    counts = np.bincount(found.truth * size + found.predicted, minlength=size * size)
    return Confusion(found.labels, tuple(map(tuple, counts.reshape(size, size).tolist())))


def _classes(found: Classified) -> tuple[ClassScore, ...]:
    if len(found.labels) > MAX_CLASSES:
        return ()
    tally = Tally(found, np.ones((1, len(found))))
    hits, true, said = tally.hits[0], tally.true[0], tally.said[0]

    def share(part: float, whole: float) -> float:
        return float(part / whole) if whole else 0.0

    return tuple(
        ClassScore(
            label,
            share(hits[place], said[place]),
            share(hits[place], true[place]),
            share(2 * hits[place], true[place] + said[place]),
            int(true[place]),
        )
        for place, label in enumerate(found.labels)
    )


def _curves(found: Classified) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """Receiver operating characteristics, and precision over recall; of two classes the second."""
    if found.probabilities is None or not 2 <= len(found.labels) <= MAX_CURVES:
        return (), ()
    roc, precision_recall = [], []
    for place in [1] if len(found.labels) == 2 else range(len(found.labels)):
        positive = found.truth == place
        if not 0 < positive.sum() < len(positive):
            continue
        hits, misses = cumulated(found.probabilities[:, place], positive)
        recall = hits / hits[-1]
        fallout = np.append(0.0, misses / misses[-1])
        roc.append(_curve(found.labels[place], fallout, np.append(0.0, recall)))
        precision = hits / (hits + misses)
        precision_recall.append(
            _curve(found.labels[place], np.append(0.0, recall), np.append(precision[0], precision))
        )
    return tuple(roc), tuple(precision_recall)


def cumulated(scores: Array, positive: Array) -> tuple[Array, Array]:
    """Hits and misses among the rows at or above each score that occurs, the highest first."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.inf))
    hits = np.cumsum(positive[order])[last]
    return hits, last + 1 - hits


def _curve(label: str, x: Array, y: Array) -> Curve:
    """At most so many points, evenly along the curve's length, with both ends."""
    if len(x) > POINTS:
        way = np.append(0.0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
        wanted = np.linspace(0, way[-1], POINTS)
        kept = np.unique(np.minimum(np.searchsorted(way, wanted), len(x) - 1))
        x, y = x[kept], y[kept]
    return Curve(label, _rounded(x), _rounded(y))


def _calibration(found: Classified) -> Calibration | None:
    if found.probabilities is None:
        return None
    if len(found.labels) == 2:
        label, likely, right = found.labels[1], found.probabilities[:, 1], found.truth == 1
    else:
        label, likely = "", found.probabilities.max(axis=1)
        right = found.probabilities.argmax(axis=1) == found.truth
    order = np.argsort(likely, kind="stable")
    bins = np.array_split(order, min(BINS, max(1, len(order) // 5)))
    return Calibration(
        label=label,
        predicted=_rounded(np.array([likely[part].mean() for part in bins])),
        observed=_rounded(np.array([right[part].mean() for part in bins])),
        rows=tuple(len(part) for part in bins),
    )


def _residuals(found: Estimated) -> Residuals:
    errors = found.predicted - found.truth
    step = max(1, -(-len(found) // SCATTER))
    return Residuals(
        predicted=tuple(float(f"{value:.6g}") for value in found.predicted[::step]),
        truth=tuple(float(f"{value:.6g}") for value in found.truth[::step]),
        quantiles={f"{at:g}": float(np.quantile(errors, at)) for at in QUANTILES},
    )


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
