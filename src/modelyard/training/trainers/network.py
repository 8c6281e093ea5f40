"""Neural networks: what all of them have in common as algorithms, and the one for tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from modelyard.training.neural.recipe import (
    CLASS_LOSSES,
    NUMBER_LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    Recipe,
)
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    CLASS_WEIGHT,
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Parameter,
    choice,
    flag,
    real,
    whole,
)

if TYPE_CHECKING:
    from modelyard.training.neural.architecture import Architecture

TORCH: Final = "torch"
ACTIVATIONS: Final = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid")

RECIPE_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "epochs": whole(1, 10_000),
    "batch_size": whole(2, 100_000),
    "optimizer": choice(*OPTIMIZERS),
    "learning_rate": real(1e-9, 10),
    "momentum": real(0, 0.9999),
    "weight_decay": real(0, 100),
    "l1": real(0, 100),
    "lr_schedule": choice(*SCHEDULES),
    "lr_step_size": whole(1, 10_000),
    "lr_gamma": real(1e-6, 1),
    "gradient_clip": Parameter((float,), 1e-6, 1e6, optional=True),
    "loss": choice(*CLASS_LOSSES, *NUMBER_LOSSES),
    "focal_gamma": real(0, 10),
    "huber_delta": real(1e-6, 1e6),
    "label_smoothing": real(0, 0.9),
    "class_weight": CLASS_WEIGHT,
    "early_stopping": flag(),
    "patience": whole(1, 10_000),
    "validation_fraction": real(0.01, 0.5),
}
"""What can be set on every network's training: the fields of `Recipe`."""

RECIPE_SPACE: Final[Mapping[str, Axis]] = {
    "learning_rate": Axis(1e-4, 0.02, log=True),
    "weight_decay": Axis(1e-5, 0.3, log=True),
    "batch_size": Axis(choices=(32, 64, 128)),
}


def estimator(fit: Fit, kind: Callable[..., Architecture], recipe: Recipe = Recipe()) -> Estimator:  # noqa: B008 - frozen
    """An estimator of this architecture; what the user sets goes over `recipe` and its defaults."""
    from modelyard.training.neural.estimator import NetworkClassifier, NetworkRegressor

    given = dict(fit.parameters)
    of_recipe = {name: given.pop(name) for name in RECIPE_PARAMETERS if name in given}
    recipe = msgspec.structs.replace(recipe, **of_recipe)
    estimator = NetworkClassifier if fit.task is TaskKind.CLASSIFICATION else NetworkRegressor
    return estimator(kind(**given), recipe, fit.seed, fit.watch)


def _perceptron(fit: Fit) -> Estimator:
    from modelyard.training.neural.perceptron import Perceptron

    return estimator(fit, Perceptron)


NEURAL_NETWORK: Final = Algorithm(
    name="neural_network",
    tasks=frozenset({TaskKind.CLASSIFICATION, TaskKind.REGRESSION}),
    parameters={
        "hidden_layer_sizes": whole(1, 4096, items=True),
        "activation": choice(*ACTIVATIONS),
        "dropout": real(0, 0.9),
        "batch_norm": flag(),
        **RECIPE_PARAMETERS,
    },
    build=_perceptron,
    scaled=True,
    max_rows=1_000_000,
    max_cells=200_000_000,
    suits_sparse=False,
    tried=False,
    library=TORCH,
    resumes=True,
    space={
        "hidden_layer_sizes": Axis(choices=((64,), (128, 64), (256, 128), (256, 128, 64))),
        "dropout": Axis(0, 0.5),
        **RECIPE_SPACE,
    },
)
