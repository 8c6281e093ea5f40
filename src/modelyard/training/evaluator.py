"""Evaluation: how well predictions match what is true.

Metrics of classes and numbers are defined in `evaluation.metrics`, those of clusters here.
`flagged` is the share of rows that stand apart: no measure of quality, but what to expect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.registry.card import Confusion
from modelyard.registry.evaluation import Evaluation, Interval
from modelyard.training.entities import measure_tags
from modelyard.training.evaluation.bootstrap import intervals
from modelyard.training.evaluation.details import confusion, details
from modelyard.training.evaluation.metrics import CLASSES, NUMBERS, OF_PROBABILITIES, values
from modelyard.training.evaluation.prediction import Classified, Predicted, answering, ask
from modelyard.training.likeness import measure_texts
from modelyard.training.rows import Array, Rows
from modelyard.training.spec import TaskKind

METRICS: Final[Mapping[TaskKind, tuple[str, ...]]] = {
    TaskKind.CLASSIFICATION: tuple(CLASSES),
    TaskKind.REGRESSION: tuple(NUMBERS),
    TaskKind.CLUSTERING: ("silhouette", "davies_bouldin"),
    TaskKind.ANOMALY_DETECTION: ("flagged",),
    TaskKind.TAGGING: ("f1", "precision", "recall", "accuracy"),
    TaskKind.TRANSLATION: ("exact_match", "similarity"),
}
_WRITTEN: Final[Mapping[TaskKind, Callable[[Array, Array], dict[str, float]]]] = {
    TaskKind.TAGGING: measure_tags,
    TaskKind.TRANSLATION: measure_texts,
}
"""What is measured of texts that a model writes, against those that are right."""
IMBALANCE: Final = 3.0
"""The largest class outnumbers the smallest so many times before accuracy misleads."""
MAX_SILHOUETTE: Final = 2000
"""Rows that are compared with each other to tell how far clusters are apart."""


class Evaluated(msgspec.Struct, frozen=True):
    """The metrics on held-out rows with their intervals, for classes their confusion, and more.

    `found` is what the model said of the rows; None where there is no target.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval] = {}
    confusion: Confusion | None = None
    details: Evaluation = Evaluation()
    found: Predicted | None = None


def check_metric(metric: str | None, task: TaskKind) -> None:
    """Raises Invalid unless the task has such a metric (None: chosen from the data)."""
    if metric is not None and metric not in METRICS[task]:
        known = ", ".join(METRICS[task])
        raise Invalid(f"there is no metric '{metric[:80]}' for {task}; there are: {known}")


def choose_metric(asked: str | None, task: TaskKind, target: Array) -> str:
    """The metric that candidates are compared by."""
    if asked is not None:
        return asked
    if task is not TaskKind.CLASSIFICATION:
        return METRICS[task][0]
    counts = np.unique(target, return_counts=True)[1]
    return "f1" if counts.max() > IMBALANCE * counts.min() else "accuracy"


def evaluate(task: TaskKind, model: Any, rows: Rows, seed: int = 0) -> Evaluated:
    """Every metric of the task. One that is not defined on these rows is left out."""
    if task in _WRITTEN:
        return Evaluated(_WRITTEN[task](rows.target, model.predict(rows.features)))
    if not task.supervised:
        return Evaluated(_without_target(task, model, rows))
    found = ask(model, rows, task)
    measured = values(found, METRICS[task])
    return Evaluated(
        metrics=measured,
        intervals=intervals(found, tuple(measured), seed, rows.groups),
        confusion=confusion(found) if isinstance(found, Classified) else None,
        details=details(found),
        found=found,
    )


def score(metric: str, task: TaskKind, model: Any, rows: Rows) -> float:
    """One metric. Raises Invalid when it is not defined for this model on these rows."""
    if task in _WRITTEN:
        return _defined(metric, _WRITTEN[task](rows.target, model.predict(rows.features)))
    if task.supervised:
        return score_of(metric, ask(model, rows, task, likely=metric in OF_PROBABILITIES))
    return _defined(metric, _without_target(task, model, rows))


def score_of(metric: str, found: Predicted) -> float:
    """One metric of what a model said. Raises Invalid when it is not defined for that."""
    return _defined(metric, values(found, (metric,)))


def _defined(metric: str, metrics: Mapping[str, float]) -> float:
    if metric not in metrics:
        raise Invalid(
            f"{metric} is not defined here: the model gives no probabilities, or a fold "
            "holds a single class or value"
        )
    return metrics[metric]


def _without_target(task: TaskKind, model: Any, rows: Rows) -> dict[str, float]:
    with answering():
        if task is TaskKind.CLUSTERING:
            return _clustering(model, rows)
        return {"flagged": float(np.mean(model.predict(rows.features) < 0))}


def _clustering(model: Any, rows: Rows) -> dict[str, float]:
    """How well the clusters are apart: empty if the rows all belong to one of them."""
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    some = rows.features.head(MAX_SILHOUETTE)
    matrix = model[:-1].transform(some)
    labels = model.predict(some)
    if not 2 <= len(np.unique(labels)) < len(labels):
        return {}
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    return {
        "silhouette": float(silhouette_score(dense, labels)),
        "davies_bouldin": float(davies_bouldin_score(dense, labels)),
    }
