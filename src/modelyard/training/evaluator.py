"""Evaluation: how well predictions match what is true.

Definitions are scikit-learn's; precision, recall and F1 are macro averages (each class counts the
same), the ROC AUC of several classes is one-against-rest. `flagged` is the share of rows that stand
apart: no measure of quality, but what to expect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.registry.card import Confusion
from modelyard.training.rows import Array, Rows
from modelyard.training.spec import TaskKind

METRICS: Final[Mapping[TaskKind, tuple[str, ...]]] = {
    TaskKind.CLASSIFICATION: ("accuracy", "f1", "precision", "recall", "roc_auc"),
    TaskKind.REGRESSION: ("r2", "rmse", "mae"),
    TaskKind.CLUSTERING: ("silhouette", "davies_bouldin"),
    TaskKind.ANOMALY_DETECTION: ("flagged",),
}
IMBALANCE: Final = 3.0
"""The largest class outnumbers the smallest so many times before accuracy misleads."""
MAX_SILHOUETTE: Final = 2000
"""Rows that are compared with each other to tell how far clusters are apart."""
MAX_CONFUSION: Final = 100
"""Classes beyond which no confusion matrix is kept."""


class Evaluation(msgspec.Struct, frozen=True):
    """The metrics on held-out rows, and for classes their confusion."""

    metrics: dict[str, float]
    confusion: Confusion | None = None


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


def evaluate(task: TaskKind, model: Any, rows: Rows) -> Evaluation:
    """Every metric of the task. One that is not defined on these rows is left out."""
    if task is TaskKind.REGRESSION:
        return Evaluation(_regression(rows.target, model.predict(rows.features)))
    if task is TaskKind.CLUSTERING:
        return Evaluation(_clustering(model, rows))
    if task is TaskKind.ANOMALY_DETECTION:
        return Evaluation({"flagged": float(np.mean(model.predict(rows.features) < 0))})
    return _classification(model, rows)


def score(metric: str, task: TaskKind, model: Any, rows: Rows) -> float:
    """One metric. Raises Invalid when it is not defined for this model on these rows."""
    metrics = evaluate(task, model, rows).metrics
    if metric not in metrics:
        raise Invalid(
            f"{metric} is not defined here: the model gives no probabilities, or a fold "
            "holds a single class"
        )
    return metrics[metric]


def _regression(truth: Array, predicted: Array) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    values = {
        "r2": float(r2_score(truth, predicted)) if len(truth) > 1 else math.nan,
        "rmse": float(root_mean_squared_error(truth, predicted)),
        "mae": float(mean_absolute_error(truth, predicted)),
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _clustering(model: Any, rows: Rows) -> dict[str, float]:
    """How well the clusters are apart: empty if the rows all belong to one of them."""
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    some = rows.features.head(MAX_SILHOUETTE)
    matrix = model.named_steps["prepare"].transform(some)
    labels = model.predict(some)
    if not 2 <= len(np.unique(labels)) < len(labels):
        return {}
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    return {
        "silhouette": float(silhouette_score(dense, labels)),
        "davies_bouldin": float(davies_bouldin_score(dense, labels)),
    }


def _classification(model: Any, rows: Rows) -> Evaluation:
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    truth, predicted = rows.target, model.predict(rows.features)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, average="macro", zero_division=0
    )
    metrics = {
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }
    area = _roc_auc(model, rows)
    if area is not None:
        metrics["roc_auc"] = area
    classes = model.classes_
    if len(classes) > MAX_CONFUSION:
        return Evaluation(metrics)
    counts = confusion_matrix(truth, predicted, labels=classes)
    labels = tuple(str(label) for label in classes)
    return Evaluation(metrics, Confusion(labels, tuple(tuple(map(int, row)) for row in counts)))


def _roc_auc(model: Any, rows: Rows) -> float | None:
    """None without probabilities, or when a class is absent from these rows."""
    from sklearn.metrics import roc_auc_score

    truth = rows.target
    if not hasattr(model, "predict_proba") or len(np.unique(truth)) != len(model.classes_):
        return None
    probabilities = model.predict_proba(rows.features)
    if len(model.classes_) == 2:
        return float(roc_auc_score(truth, probabilities[:, 1]))
    return float(roc_auc_score(truth, probabilities, multi_class="ovr", labels=model.classes_))
