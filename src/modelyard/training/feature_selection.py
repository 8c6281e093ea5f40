"""Feature selection: which columns of the prepared matrix an algorithm gets to see."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from modelyard.core.errors import Invalid
from modelyard.training.rows import Array
from modelyard.training.spec import TaskKind
from modelyard.training.treatment import FeatureSelection, SelectionMethod

_USED: Final = 1e-5
"""A coefficient below this is none."""


def selector(selection: FeatureSelection, task: TaskKind, rows: int, width: int, seed: int) -> Any:
    """An unfitted selector of scikit-learn's kind for a matrix [rows, width].

    Raises:
        Invalid: more columns are to be kept than there are.
    """
    from sklearn.feature_selection import (
        SelectFromModel,
        SelectKBest,
        VarianceThreshold,
        f_classif,
        f_regression,
    )

    if selection.method is SelectionMethod.VARIANCE:
        return VarianceThreshold(selection.threshold)
    if selection.method is SelectionMethod.K_BEST:
        if selection.k > width:
            raise Invalid(
                f"selection: 'k' is {selection.k}, and the prepared matrix has {width} columns"
            )
        test = f_classif if task is TaskKind.CLASSIFICATION else f_regression
        return SelectKBest(test, k=selection.k)
    model, coefficients = _penalised(selection, task, rows, seed)
    return SelectFromModel(
        model, threshold=_USED, importance_getter=f"named_steps.model.{coefficients}"
    )


def kept(fitted: Any) -> Array:
    """The columns that a fitted selector keeps, in order.

    Raises:
        Invalid: there are none.
    """
    places = np.flatnonzero(fitted.get_support())
    if not len(places):
        raise Invalid("selection: no column is left; a lower 'alpha' keeps more")
    return places


def _penalised(
    selection: FeatureSelection, task: TaskKind, rows: int, seed: int
) -> tuple[Any, str]:
    """A linear model on columns of unit size, and where its coefficients are."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Lasso, LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    # A sparse matrix stays so.
    unit = ("unit", StandardScaler(with_mean=False))
    if task is TaskKind.CLASSIFICATION:
        # Its loss is a sum over rows where that of Lasso is a mean.
        model = LogisticRegression(
            C=1 / (selection.alpha * rows),
            l1_ratio=1.0,
            solver="saga",
            max_iter=1000,
            random_state=seed,
        )
        return Pipeline([unit, ("model", model)]), "coef_"
    lasso = Lasso(alpha=selection.alpha, max_iter=10_000, random_state=seed)
    scaled = TransformedTargetRegressor(lasso, transformer=StandardScaler())
    return Pipeline([unit, ("model", scaled)]), "regressor_.coef_"
