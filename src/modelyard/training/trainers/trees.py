"""Decision trees, alone and together: random forest and gradient boosting.

Their work grows with rows times width, and their size in memory and in the gateway with the number
of leaves; both are bounded. Boosting looks at every value of a small table, and at histograms of
255 bins of a larger one, which costs a fraction and is as good there.
"""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    CLASS_WEIGHT,
    PREDICTING,
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Parameter,
    real,
    whole,
)

_SPLIT_COLUMNS: Final = 20
_TREE_ROWS: Final = 20_000
"""Each tree of a forest sees so many rows at most; together they see them all."""

_EXACT_ROWS: Final = 10_000
"""From here on boosting works on histograms."""
_HISTOGRAM_NAMES: Final = {"n_estimators": "max_iter"}

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


def _decision_tree(fit: Fit) -> Estimator:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if fit.task is TaskKind.CLASSIFICATION else DecisionTreeRegressor
    # A tree that is grown to its end learns its rows by heart.
    bounded = {"max_depth": 12, "min_samples_leaf": min(20, max(1, fit.rows // 100))}
    return kind(random_state=fit.seed, **{**bounded, **fit.parameters})


def _gradient_boosting(fit: Fit) -> Estimator:
    if fit.rows > _EXACT_ROWS and not fit.sparse:
        return _histogram_boosting(fit)
    return _exact_boosting(fit)


def _histogram_boosting(fit: Fit) -> Estimator:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    classes = fit.task is TaskKind.CLASSIFICATION
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    given = {_HISTOGRAM_NAMES.get(name, name): value for name, value in fit.parameters.items()}
    if given.pop("early_stopping", None) is not None or "n_iter_no_change" in given:
        given["early_stopping"] = given.get("n_iter_no_change") is not None
    if given.get("n_iter_no_change", 1) is None:
        del given["n_iter_no_change"]
    known = kind().get_params()
    settings = {name: value for name, value in given.items() if name in known}
    return kind(random_state=fit.seed, **{"max_iter": 100, "early_stopping": False, **settings})


def _exact_boosting(fit: Fit) -> Estimator:
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

_GROWN: Final = {name: one for name, one in _COMMON.items() if name != "n_estimators"}

DECISION_TREE: Final = Algorithm(
    name="decision_tree",
    tasks=PREDICTING,
    parameters={
        **_GROWN,
        "ccp_alpha": real(0, 1e6),
        "class_weight": CLASS_WEIGHT,
    },
    build=_decision_tree,
    scaled=False,
    max_rows=1_000_000,
    suits_sparse=False,
    tried=False,
    space={
        "max_depth": Axis(2, 32, log=True, whole=True),
        "min_samples_leaf": Axis(1, 50, log=True, whole=True),
    },
)

RANDOM_FOREST: Final = Algorithm(
    name="random_forest",
    tasks=PREDICTING,
    parameters={**_COMMON, "class_weight": CLASS_WEIGHT},
    build=_random_forest,
    scaled=False,
    max_rows=200_000,
    max_cells=20_000_000,
    suits_sparse=False,
    space={
        "n_estimators": Axis(50, 400, whole=True),
        "max_depth": Axis(3, 32, log=True, whole=True),
        "min_samples_leaf": Axis(1, 20, log=True, whole=True),
        "max_features": Axis(0.1, 1.0),
    },
)

GRADIENT_BOOSTING: Final = Algorithm(
    name="gradient_boosting",
    tasks=PREDICTING,
    parameters={
        **_COMMON,
        "learning_rate": real(1e-6, 10),
        "subsample": real(1e-3, 1),
        "n_iter_no_change": whole(1, 1000, optional=True),
    },
    build=_gradient_boosting,
    scaled=False,
    max_rows=1_000_000,
    suits_sparse=False,
    space={
        "n_estimators": Axis(50, 500, log=True, whole=True),
        "learning_rate": Axis(0.01, 0.3, log=True),
        "max_depth": Axis(2, 8, whole=True),
        "min_samples_leaf": Axis(1, 50, log=True, whole=True),
    },
)
