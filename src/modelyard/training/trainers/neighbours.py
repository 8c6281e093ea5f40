"""The k nearest neighbours."""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    PREDICTING,
    Algorithm,
    Axis,
    Estimator,
    Fit,
    choice,
    whole,
)


def _nearest_neighbours(fit: Fit) -> Estimator:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    classes = fit.task is TaskKind.CLASSIFICATION
    kind = KNeighborsClassifier if classes else KNeighborsRegressor
    settings = {"n_neighbors": min(5, fit.rows), **fit.parameters}
    # Distances are computed, not looked up: the served form does the same.
    return kind(algorithm="brute", metric="euclidean", **settings)


NEAREST_NEIGHBOURS: Final = Algorithm(
    name="nearest_neighbours",
    tasks=PREDICTING,
    parameters={
        "n_neighbors": whole(1, 1000),
        "weights": choice("uniform", "distance"),
    },
    build=_nearest_neighbours,
    scaled=True,
    # The model is its rows: each request is compared with all of them.
    max_rows=10_000,
    max_cells=2_000_000,
    suits_sparse=False,
    tried=False,
    space={
        "n_neighbors": Axis(1, 50, log=True, whole=True),
        "weights": Axis(choices=("uniform", "distance")),
    },
)
