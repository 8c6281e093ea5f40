"""Support vector machines.

A kernel machine's work grows with the square of its rows, so many rows or a wide sparse table
(text) get the linear one. Probabilities come from Platt's scaling over folds of the training rows
(Platt 1999); where a class is too small for folds there are none.
"""

from __future__ import annotations

from typing import Any, Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    CLASS_WEIGHT,
    PREDICTING,
    Algorithm,
    Axis,
    Estimator,
    Fit,
    choice,
    real,
    whole,
)

KERNEL_ROWS: Final = 10_000
_FOLDS: Final = 5
_KERNEL_ONLY: Final = ("gamma", "degree", "coef0")


def _machine(fit: Fit) -> Estimator:
    given = dict(fit.parameters)
    kernel = given.pop("kernel", None)
    if kernel is None:
        kernel = "linear" if fit.sparse or fit.rows > KERNEL_ROWS else "rbf"
    if kernel == "linear" and (fit.sparse or fit.rows > KERNEL_ROWS):
        settings = {name: value for name, value in given.items() if name not in _KERNEL_ONLY}
        return _linear(fit, settings)
    return _kernel(fit, kernel, given)


def _linear(fit: Fit, settings: dict[str, Any]) -> Estimator:
    from sklearn.svm import LinearSVC, LinearSVR

    settings = {"max_iter": 5000, **settings}
    if fit.task is TaskKind.REGRESSION:
        return _rescaled(LinearSVR(random_state=fit.seed, **settings))
    settings.pop("epsilon", None)
    return _with_probabilities(fit, LinearSVC(random_state=fit.seed, **settings))


def _kernel(fit: Fit, kernel: str, settings: dict[str, Any]) -> Estimator:
    from sklearn.svm import SVC, SVR

    if fit.task is TaskKind.REGRESSION:
        return _rescaled(SVR(kernel=kernel, **settings))
    settings.pop("epsilon", None)
    return _with_probabilities(fit, SVC(kernel=kernel, random_state=fit.seed, **settings))


def _with_probabilities(fit: Fit, machine: Estimator) -> Estimator:
    from sklearn.calibration import CalibratedClassifierCV

    folds = min(_FOLDS, fit.rarest)
    return CalibratedClassifierCV(machine, ensemble=False, cv=folds) if folds >= 2 else machine


def _rescaled(machine: Estimator) -> Estimator:
    """Its defaults (C, epsilon) mean something only for targets of about unit size."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    return TransformedTargetRegressor(machine, transformer=StandardScaler())


SVM: Final = Algorithm(
    name="svm",
    tasks=PREDICTING,
    parameters={
        "C": real(1e-9, 1e9),
        "kernel": choice("linear", "rbf", "poly", "sigmoid", optional=True),
        "gamma": real(1e-9, 1e9, "scale", "auto"),
        "degree": whole(1, 10),
        "coef0": real(-1e6, 1e6),
        "epsilon": real(0, 1e6),
        "class_weight": CLASS_WEIGHT,
        "max_iter": whole(1, 1_000_000),
        "tol": real(1e-12, 1),
    },
    build=_machine,
    scaled=True,
    max_rows=100_000,
    space={"C": Axis(1e-3, 1e3, log=True), "gamma": Axis(1e-4, 10, log=True)},
)
