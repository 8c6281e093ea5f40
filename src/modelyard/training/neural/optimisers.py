"""Optimisers, and how the learning rate changes from step to step."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import nn

from modelyard.training.neural.recipe import Recipe

_RISE: Final = 0.3
"""The share of the steps in which `one_cycle` rises."""
_FROM: Final = 1 / 25
_TO: Final = 1 / 250_000
"""Where `one_cycle` begins and ends, beside its highest rate (Smith and Topin 2019)."""


def optimizer_of(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser of all the module's weights."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        momentum = recipe.momentum
        return torch.optim.SGD(module.parameters(), rate, momentum, weight_decay=decay)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(module.parameters(), rate, weight_decay=decay)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of step `step` (from 0) where an epoch has so many.

    It depends on nothing that was before, so that there is no state to take up again.
    """
    if recipe.lr_schedule == "constant":
        return recipe.learning_rate
    if recipe.lr_schedule == "step":
        turns = step // steps // recipe.lr_step_size
        return recipe.learning_rate * recipe.lr_gamma**turns
    done = step / max(1, recipe.epochs * steps - 1)
    if recipe.lr_schedule == "cosine":
        return recipe.learning_rate * _between(1.0, 0.0, done)
    if done < _RISE:
        return recipe.learning_rate * _between(_FROM, 1.0, done / _RISE)
    return recipe.learning_rate * _between(1.0, _TO, (done - _RISE) / (1 - _RISE))


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from one to the other."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
