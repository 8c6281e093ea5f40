"""The convolutional network for pictures."""

from __future__ import annotations

from functools import partial
from typing import Final

from modelyard.training.neural.recipe import Recipe
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Reads,
    choice,
    flag,
    real,
    whole,
)
from modelyard.training.trainers.network import (
    ACTIVATIONS,
    RECIPE_PARAMETERS,
    RECIPE_SPACE,
    TORCH,
    estimator,
)

_RECIPE: Final = Recipe(
    epochs=12, learning_rate=0.004, lr_schedule="one_cycle", patience=5, batch_size=128
)


def _convolutional(fit: Fit) -> Estimator:
    from modelyard.training.neural.convolutional import Convolutional

    if fit.picture is None:
        raise ValueError("it learns from pictures")
    size = fit.picture
    return estimator(fit, partial(Convolutional, size.channels, size.height, size.width), _RECIPE)


CNN: Final = Algorithm(
    name="cnn",
    tasks=frozenset({TaskKind.CLASSIFICATION}),
    parameters={
        "conv_channels": whole(1, 512, items=True),
        "conv_layers": whole(1, 4),
        "kernel_size": whole(1, 11),
        "hidden_layer_sizes": whole(1, 4096, items=True),
        "activation": choice(*ACTIVATIONS),
        "dropout": real(0, 0.9),
        "batch_norm": flag(),
        "augment_flip": flag(),
        "augment_shift": real(0, 0.5),
        "augment_rotation": real(0, 45),
        **RECIPE_PARAMETERS,
    },
    build=_convolutional,
    scaled=False,
    max_rows=1_000_000,
    max_cells=1_000_000_000,
    suits_sparse=False,
    tried=False,
    library=TORCH,
    resumes=True,
    reads=Reads.IMAGE,
    suits_images=True,
    space={
        "conv_channels": Axis(choices=((16, 32), (32, 64), (64, 128))),
        "dropout": Axis(0, 0.5),
        **RECIPE_SPACE,
    },
)
