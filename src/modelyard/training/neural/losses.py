"""Losses: how wrong a batch of outputs is, as one number to go down from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from modelyard.training.neural.recipe import CLASS_LOSSES, NUMBER_LOSSES, Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""From outputs and targets to their mean loss, a scalar."""


def class_loss(recipe: Recipe, classes: int, weights: Tensor | None) -> tuple[Loss, int]:
    """The loss over logits [n, outputs] and classes [n] by number, and how many outputs it wants.

    `weights` are those of the classes. `binary_cross_entropy` wants one output, the others one for
    each class.

    Raises:
        ValueError: the recipe's loss is none of classes, or is one of two classes only.
    """
    name = recipe.loss or CLASS_LOSSES[0]
    if name not in CLASS_LOSSES:
        raise ValueError(f"loss '{name}' is for numbers; for classes: {', '.join(CLASS_LOSSES)}")
    if name == "binary_cross_entropy":
        if classes != 2:
            raise ValueError(f"loss '{name}' tells two classes apart, and there are {classes}")
        return _binary_cross_entropy(weights), 1
    if name == "focal":
        return _focal(recipe.focal_gamma, weights), classes

    def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
        smoothing = recipe.label_smoothing
        return functional.cross_entropy(logits, target, weights, label_smoothing=smoothing)

    return cross_entropy, classes


def number_loss(recipe: Recipe) -> Loss:
    """The loss over predictions [n, 1] and numbers [n].

    Raises:
        ValueError: the recipe's loss is one of classes.
    """
    name = recipe.loss or NUMBER_LOSSES[0]
    if name not in NUMBER_LOSSES:
        raise ValueError(f"loss '{name}' is for classes; for numbers: {', '.join(NUMBER_LOSSES)}")

    def loss(predicted: Tensor, target: Tensor) -> Tensor:
        predicted = predicted.squeeze(1)
        if name == "mae":
            return functional.l1_loss(predicted, target)
        if name == "huber":
            return functional.huber_loss(predicted, target, delta=recipe.huber_delta)
        return functional.mse_loss(predicted, target)

    return loss


def _binary_cross_entropy(weights: Tensor | None) -> Loss:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        of_rows = None if weights is None else weights[target]
        return functional.binary_cross_entropy_with_logits(
            logits.squeeze(1), target.to(logits.dtype), of_rows
        )

    return loss


def _focal(gamma: float, weights: Tensor | None) -> Loss:
    """Lin et al. 2017: rows that are told well already count little."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        told = functional.log_softmax(logits, dim=1).gather(1, target[:, None]).squeeze(1)
        each = -((1.0 - told.exp()).clamp(min=0.0) ** gamma) * told
        if weights is None:
            return each.mean()
        of_rows = weights[target]
        return (each * of_rows).sum() / of_rows.sum()

    return loss


def l1_penalty(module: torch.nn.Module) -> Tensor:
    """The sum of the absolute weights, without biases and what else has one dimension."""
    return torch.stack([w.abs().sum() for w in module.parameters() if w.dim() > 1]).sum()
