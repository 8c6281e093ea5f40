"""Ensembles of decision trees: random forest and gradient boosting.

Their work grows with rows times width, and their size in memory and in the gateway with the number
of leaves; both are bounded. Histogram boosting is faster, but its converter to ONNX fails.
"""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Estimator,
    Fit,
    Parameter,
    choice,
    real,
    whole,
)

_SPLIT_COLUMNS: Final = 20
_TREE_ROWS: Final = 20_000
"""Each tree of a forest sees so many rows at most; together they see them all."""

_FEATURES: Final = Parameter((float,), 1e-6, 1.0, ("sqrt", "log2"), optional=True)


def _random_forest(fit: Fit) -> Estimator:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if fit.task is TaskKind.CLASSIFICATION else RandomForestRegressor
    bounded = {
        "n_estimators": 100,
        "max_samples": _TREE_ROWS if fit.rows > _TREE_ROWS else None,
        "min_samples_leaf": min(5, max(1, fit.rows // 5_000)),
    }
    return kind(random_state=fit.seed, n_jobs=1, **{**bounded, **fit.parameters})


def _gradient_boosting(fit: Fit) -> Estimator:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = (
        GradientBoostingClassifier
        if fit.task is TaskKind.CLASSIFICATION
        else GradientBoostingRegressor
    )
    # Each split looks at so many columns at most: on a wide table this is most of the work.
    share = min(1.0, _SPLIT_COLUMNS / fit.width)
    return kind(
        random_state=fit.seed, **{"n_estimators": 100, "max_features": share, **fit.parameters}
    )


_COMMON: Final = {
    "n_estimators": whole(1, 2000),
    "max_depth": whole(1, 64, optional=True),
    "min_samples_split": whole(2, 1_000_000),
    "min_samples_leaf": whole(1, 1_000_000),
    "max_leaf_nodes": whole(2, 100_000, optional=True),
    "max_features": _FEATURES,
}

RANDOM_FOREST: Final = Algorithm(
    name="random_forest",
    tasks=frozenset(TaskKind),
    parameters={**_COMMON, "class_weight": choice("balanced", optional=True)},
    build=_random_forest,
    scaled=False,
    max_rows=200_000,
    max_cells=20_000_000,
    suits_sparse=False,
)

GRADIENT_BOOSTING: Final = Algorithm(
    name="gradient_boosting",
    tasks=frozenset(TaskKind),
    parameters={
        **_COMMON,
        "learning_rate": real(1e-6, 10),
        "subsample": real(1e-3, 1),
        "n_iter_no_change": whole(1, 1000, optional=True),
    },
    build=_gradient_boosting,
    scaled=False,
    max_rows=50_000,
    max_cells=2_000_000,
    suits_sparse=False,
)
