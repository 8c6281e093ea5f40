"""Estimators whose trees are converted here and not by skl2onnx."""

from __future__ import annotations

from typing import Any

from modelyard.training.conversion import (
    forest_trees,
    histogram_trees,
    lightgbm_trees,
    xgboost_trees,
)
from modelyard.training.conversion.trees import Ensemble


def ensemble_of(estimator: Any) -> Ensemble | None:
    """Its trees; None of an estimator of another kind. Raises NotConvertible."""
    library = type(estimator).__module__.partition(".")[0]
    if library == "xgboost" and hasattr(estimator, "get_booster"):
        return xgboost_trees.ensemble_of(estimator.get_booster())
    if library == "lightgbm" and hasattr(estimator, "booster_"):
        return lightgbm_trees.ensemble_of(estimator.booster_)
    if library == "sklearn" and type(estimator).__name__ in forest_trees.KINDS:
        return forest_trees.ensemble_of(estimator)
    if library == "sklearn" and type(estimator).__name__.startswith("HistGradientBoosting"):
        return histogram_trees.ensemble_of(estimator)
    return None
