"""Linear models: least squares, ridge, lasso, elastic net, logistic regression."""

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
    flag,
    real,
    whole,
)
from modelyard.training.trainers.descent import logistic, squares


def _least_squares(fit: Fit) -> Estimator:
    from sklearn.linear_model import LinearRegression

    return LinearRegression(**fit.parameters)


def _ridge(fit: Fit) -> Estimator:
    from sklearn.linear_model import Ridge, RidgeClassifier

    kind = RidgeClassifier if fit.task is TaskKind.CLASSIFICATION else Ridge
    return kind(random_state=fit.seed, **fit.parameters)


def _lasso(fit: Fit) -> Estimator:
    from sklearn.linear_model import Lasso

    return _rescaled(Lasso(random_state=fit.seed, **{**_SPARSE, **fit.parameters}))


def _elastic_net(fit: Fit) -> Estimator:
    from sklearn.linear_model import ElasticNet

    return _rescaled(ElasticNet(random_state=fit.seed, **{**_SPARSE, **fit.parameters}))


_SPARSE: Final = {"alpha": 0.01, "max_iter": 10_000}
"""For a target of about unit size."""


def _rescaled(model: Estimator) -> Estimator:
    """The strength of an L1 penalty means something only beside the size of the target."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    return TransformedTargetRegressor(model, transformer=StandardScaler())


def _logistic_regression(fit: Fit) -> Estimator:
    from sklearn.linear_model import LogisticRegression

    # The rows of TF-IDF have length one, so its weights must be larger to tell classes apart.
    strength = 5.0 if fit.sparse else 1.0
    settings = {"C": strength, "max_iter": 1000, **fit.parameters}
    if settings.get("l1_ratio"):
        # The only solver that knows the L1 penalty and several classes.
        settings["solver"] = "saga"
    return LogisticRegression(random_state=fit.seed, **settings)


LINEAR: Final = Algorithm(
    name="linear",
    tasks=frozenset({TaskKind.REGRESSION}),
    parameters={"fit_intercept": flag(), "positive": flag()},
    build=_least_squares,
    streaming=squares(None),
    scaled=True,
    max_rows=1_000_000,
)

RIDGE: Final = Algorithm(
    name="ridge",
    tasks=PREDICTING,
    parameters={
        "alpha": real(0, 1e9),
        "fit_intercept": flag(),
        "max_iter": whole(1, 100_000, optional=True),
    },
    build=_ridge,
    streaming=squares("l2"),
    scaled=True,
    max_rows=1_000_000,
    space={"alpha": Axis(1e-4, 1e4, log=True)},
)

_SHRUNK: Final = {
    "alpha": real(1e-9, 1e9),
    "fit_intercept": flag(),
    "max_iter": whole(1, 100_000),
    "positive": flag(),
    "tol": real(1e-12, 1),
}

LASSO: Final = Algorithm(
    name="lasso",
    tasks=frozenset({TaskKind.REGRESSION}),
    parameters=_SHRUNK,
    build=_lasso,
    streaming=squares("l1"),
    scaled=True,
    max_rows=1_000_000,
    tried=False,
    space={"alpha": Axis(1e-5, 10, log=True)},
)

ELASTIC_NET: Final = Algorithm(
    name="elastic_net",
    tasks=frozenset({TaskKind.REGRESSION}),
    parameters={**_SHRUNK, "l1_ratio": real(0, 1)},
    build=_elastic_net,
    streaming=squares("elasticnet"),
    scaled=True,
    max_rows=1_000_000,
    space={"alpha": Axis(1e-5, 10, log=True), "l1_ratio": Axis(0, 1)},
)

LOGISTIC_REGRESSION: Final = Algorithm(
    name="logistic_regression",
    tasks=frozenset({TaskKind.CLASSIFICATION}),
    parameters={
        "C": real(1e-9, 1e9),
        "class_weight": CLASS_WEIGHT,
        "fit_intercept": flag(),
        "l1_ratio": real(0, 1),
        "max_iter": whole(1, 100_000),
        "tol": real(1e-12, 1),
    },
    build=_logistic_regression,
    streaming=logistic(),
    suits_images=True,
    scaled=True,
    max_rows=500_000,
    space={"C": Axis(1e-4, 1e4, log=True)},
)
