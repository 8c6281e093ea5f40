"""Estimators whose trees are converted here and not by skl2onnx.

What knows a library's trees imports that library, which is large and may be absent: so each is
imported for its own estimators alone.
"""

from __future__ import annotations

from typing import Any

from modelyard.training.conversion import forest_trees, histogram_trees
from modelyard.training.conversion.trees import Ensemble


def ensemble_of(estimator: Any) -> Ensemble | None:
    """Its trees; None of an estimator of another kind. Raises NotConvertible."""
    library = type(estimator).__module__.partition(".")[0]
    if library == "xgboost" and hasattr(estimator, "get_booster"):
        from modelyard.training.conversion import xgboost_trees

        return xgboost_trees.ensemble_of(estimator.get_booster())
    if library == "lightgbm" and hasattr(estimator, "booster_"):
        from modelyard.training.conversion import lightgbm_trees

        return lightgbm_trees.ensemble_of(estimator.booster_)
    if library == "sklearn" and type(estimator).__name__ in forest_trees.KINDS:
        return forest_trees.ensemble_of(estimator)
    if library == "sklearn" and type(estimator).__name__.startswith("HistGradientBoosting"):
        return histogram_trees.ensemble_of(estimator)
    return None
