"""Linear models: least squares, ridge, logistic regression."""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Estimator,
    Fit,
    choice,
    flag,
    real,
    whole,
)


def _least_squares(fit: Fit) -> Estimator:
    from sklearn.linear_model import LinearRegression

    return LinearRegression(**fit.parameters)


def _ridge(fit: Fit) -> Estimator:
    from sklearn.linear_model import Ridge, RidgeClassifier

    kind = RidgeClassifier if fit.task is TaskKind.CLASSIFICATION else Ridge
    return kind(random_state=fit.seed, **fit.parameters)


def _logistic_regression(fit: Fit) -> Estimator:
    from sklearn.linear_model import LogisticRegression

    # The rows of TF-IDF have length one, so its weights must be larger to tell classes apart.
    strength = 5.0 if fit.sparse else 1.0
    return LogisticRegression(
        random_state=fit.seed, **{"C": strength, "max_iter": 1000, **fit.parameters}
    )


LINEAR: Final = Algorithm(
    name="linear",
    tasks=frozenset({TaskKind.REGRESSION}),
    parameters={"fit_intercept": flag(), "positive": flag()},
    build=_least_squares,
    scaled=True,
    max_rows=1_000_000,
)

RIDGE: Final = Algorithm(
    name="ridge",
    tasks=frozenset(TaskKind),
    parameters={
        "alpha": real(0, 1e9),
        "fit_intercept": flag(),
        "max_iter": whole(1, 100_000, optional=True),
    },
    build=_ridge,
    scaled=True,
    max_rows=1_000_000,
)

LOGISTIC_REGRESSION: Final = Algorithm(
    name="logistic_regression",
    tasks=frozenset({TaskKind.CLASSIFICATION}),
    parameters={
        "C": real(1e-9, 1e9),
        "class_weight": choice("balanced", optional=True),
        "fit_intercept": flag(),
        "max_iter": whole(1, 100_000),
        "tol": real(1e-12, 1),
    },
    build=_logistic_regression,
    scaled=True,
    max_rows=500_000,
)
