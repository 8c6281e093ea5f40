"""The multilayer perceptron."""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    PREDICTING,
    Algorithm,
    Axis,
    Estimator,
    Fit,
    choice,
    flag,
    real,
    whole,
)

_MANY_ROWS: Final = 1_000
"""From here on a tenth of the rows is enough to tell when to stop."""


def _perceptron(fit: Fit) -> Estimator:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    settings = {
        "max_iter": 300,
        "early_stopping": fit.rows > _MANY_ROWS,
        **fit.parameters,
    }
    if fit.task is TaskKind.CLASSIFICATION:
        return MLPClassifier(random_state=fit.seed, **settings)
    # Gradient steps are of a fixed size, so a target in thousands would never be reached.
    regressor = MLPRegressor(random_state=fit.seed, **settings)
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


MLP: Final = Algorithm(
    name="mlp",
    tasks=PREDICTING,
    parameters={
        "hidden_layer_sizes": whole(1, 4096, items=True),
        "activation": choice("identity", "logistic", "tanh", "relu"),
        "alpha": real(0, 1e6),
        "batch_size": whole(1, 100_000),
        "learning_rate_init": real(1e-9, 10),
        "max_iter": whole(1, 10_000),
        "early_stopping": flag(),
        "tol": real(0, 1),
    },
    build=_perceptron,
    scaled=True,
    max_rows=100_000,
    max_cells=20_000_000,
    suits_sparse=False,
    space={
        "hidden_layer_sizes": Axis(choices=((32,), (100,), (256,), (64, 32), (128, 64))),
        "alpha": Axis(1e-6, 1, log=True),
        "learning_rate_init": Axis(1e-4, 0.03, log=True),
    },
)
