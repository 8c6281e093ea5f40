"""Linear models learned by stochastic gradient descent, from parts of a table.

Weights are averaged over all steps (Polyak and Juditsky 1992). For least squares the steps are
constant, a quarter of what the rows' lengths allow (Bach and Moulines 2013); for others they
shrink with the square root of their number. With an L1 penalty there is no average, which would
not know of the weights that the penalty has cut (Tsuruoka et al. 2009).
"""

from __future__ import annotations

from typing import Any, Final

from modelyard.core.errors import Invalid
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import Estimator, Fit, Streaming

PASSES: Final = 5
STEPS: Final = 1_000_000
_NO_L1: Final = (None, "l2")


def squares(penalty: str | None) -> Streaming:
    """Least squares with this penalty, whose strength means what it means for a whole table."""

    def build(fit: Fit) -> Estimator:
        from sklearn.linear_model import SGDRegressor

        if fit.task is not TaskKind.REGRESSION:
            raise Invalid("as a stream, classes are told apart by logistic_regression")
        return SGDRegressor(
            penalty=penalty,
            alpha=_strength(fit, penalty),
            learning_rate="constant" if penalty in _NO_L1 else "invscaling",
            eta0=0.25 / (1 + fit.squared_norm),
            **_common(fit, average=penalty in _NO_L1),
        )

    return Streaming(build, PASSES, STEPS)


def logistic() -> Streaming:
    """Logistic regression: `C` counts against the sum over all rows."""

    def build(fit: Fit) -> Estimator:
        from sklearn.linear_model import SGDClassifier

        given, l1 = fit.parameters, bool(fit.parameters.get("l1_ratio"))
        strength = 5.0 if fit.sparse else 1.0
        return SGDClassifier(
            loss="log_loss",
            penalty="elasticnet" if l1 else "l2",
            alpha=1 / (float(given.get("C", strength)) * fit.rows),
            learning_rate="invscaling",
            power_t=0.5,
            eta0=4 / (1 + fit.squared_norm),
            **_common(fit, average=not l1),
        )

    return Streaming(build, PASSES, STEPS)


def _strength(fit: Fit, penalty: str | None) -> float:
    given = fit.parameters
    if penalty == "l2":
        return float(given.get("alpha", 1.0)) / fit.rows
    return float(given.get("alpha", 0.01))


def _common(fit: Fit, *, average: bool) -> dict[str, Any]:
    given = fit.parameters
    settings: dict[str, Any] = {
        "average": average,
        "shuffle": False,
        "random_state": fit.seed,
        "fit_intercept": given.get("fit_intercept", True),
    }
    if "l1_ratio" in given:
        settings["l1_ratio"] = given["l1_ratio"]
    return settings
