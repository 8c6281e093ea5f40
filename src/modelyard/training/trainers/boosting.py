"""Gradient boosting by LightGBM and by XGBoost."""

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


def _lightgbm(fit: Fit) -> Estimator:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if fit.task is TaskKind.CLASSIFICATION else LGBMRegressor
    # Rows are drawn only if it is told how often.
    often = 1 if "subsample" in fit.parameters else 0
    settings = {"n_estimators": 200, "learning_rate": 0.05, "subsample_freq": often}
    if fit.rows < _FEW_ROWS:
        settings["min_child_samples"] = max(1, fit.rows // 50)
    return kind(
        random_state=fit.seed,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
        **{**settings, **fit.parameters},
    )


def _xgboost(fit: Fit) -> Estimator:
    from xgboost import XGBClassifier, XGBRegressor

    from modelyard.training.trainers.labelled import LabelledClassifier

    settings = {"n_estimators": 200, "learning_rate": 0.1, **fit.parameters}
    settings |= {"random_state": fit.seed, "n_jobs": 1, "tree_method": "hist"}
    if fit.task is TaskKind.REGRESSION:
        return XGBRegressor(**settings)
    return LabelledClassifier(XGBClassifier(**settings))


_FEW_ROWS: Final = 1_000
"""A leaf of LightGBM's usual twenty rows is too coarse for so few."""
_FRACTION: Final = Parameter((float,), 1e-3, 1.0)
_BOTH: Final = {
    "n_estimators": whole(1, 5000),
    "learning_rate": real(1e-6, 10),
    "max_depth": whole(1, 64),
    "subsample": _FRACTION,
    "colsample_bytree": _FRACTION,
    "reg_alpha": real(0, 1e6),
    "reg_lambda": real(0, 1e6),
}

_SOUGHT: Final = {
    "n_estimators": Axis(50, 1000, log=True, whole=True),
    "learning_rate": Axis(0.005, 0.3, log=True),
    "subsample": Axis(0.5, 1.0),
    "colsample_bytree": Axis(0.3, 1.0),
    "reg_lambda": Axis(1e-3, 100, log=True),
}

LIGHTGBM: Final = Algorithm(
    name="lightgbm",
    tasks=PREDICTING,
    parameters={
        **_BOTH,
        "num_leaves": whole(2, 10_000),
        "min_child_samples": whole(1, 1_000_000),
        "class_weight": CLASS_WEIGHT,
    },
    build=_lightgbm,
    scaled=False,
    max_rows=2_000_000,
    max_cells=200_000_000,
    suits_sparse=False,
    library="lightgbm",
    space={
        **_SOUGHT,
        "num_leaves": Axis(4, 256, log=True, whole=True),
        "min_child_samples": Axis(1, 100, log=True, whole=True),
    },
)

XGBOOST: Final = Algorithm(
    name="xgboost",
    tasks=PREDICTING,
    parameters={
        **_BOTH,
        "gamma": real(0, 1e6),
        "max_leaves": whole(0, 10_000),
        "min_child_weight": real(0, 1e6),
    },
    build=_xgboost,
    scaled=False,
    max_rows=2_000_000,
    max_cells=200_000_000,
    suits_sparse=False,
    tried=False,
    library="xgboost",
    space={**_SOUGHT, "max_depth": Axis(2, 10, whole=True)},
)
