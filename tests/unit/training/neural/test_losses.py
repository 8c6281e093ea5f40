"""Losses against their definitions."""

import numpy as np
import pytest
import torch

from modelyard.training.neural.losses import class_loss, l1_penalty, number_loss
from modelyard.training.neural.recipe import Recipe

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-1.0, 3.0, 1.0]])
CLASSES = torch.tensor([0, 2, 2])
TOLD = torch.softmax(LOGITS, dim=1)[torch.arange(3), CLASSES].numpy()


def test_cross_entropy_is_the_mean_surprise() -> None:
    loss, outputs = class_loss(Recipe(), 3, None)
    assert outputs == 3
    assert float(loss(LOGITS, CLASSES)) == pytest.approx(-np.log(TOLD).mean())


def test_focal_loss_lets_what_is_told_well_count_little() -> None:
    loss, _ = class_loss(Recipe(loss="focal", focal_gamma=2.0), 3, None)
    expected = ((1 - TOLD) ** 2 * -np.log(TOLD)).mean()
    assert float(loss(LOGITS, CLASSES)) == pytest.approx(expected)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 5.0])])
def test_focal_loss_without_gamma_is_cross_entropy(weights: torch.Tensor | None) -> None:
    focal, _ = class_loss(Recipe(loss="focal", focal_gamma=0.0), 3, weights)
    plain, _ = class_loss(Recipe(), 3, weights)
    assert float(focal(LOGITS, CLASSES)) == pytest.approx(float(plain(LOGITS, CLASSES)))


def test_binary_cross_entropy_wants_one_output() -> None:
    loss, outputs = class_loss(Recipe(loss="binary_cross_entropy"), 2, torch.tensor([1.0, 3.0]))
    assert outputs == 1
    told = loss(torch.tensor([[0.0], [2.0]]), torch.tensor([1, 0]))
    expected = (3 * np.log(2) + np.log(1 + np.exp(2.0))) / 2
    assert float(told) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mse", (0.25 + 9) / 2), ("mae", 1.75), ("huber", (0.125 + 2 * 3 - 2) / 2)],
)
def test_losses_of_numbers(name: str, expected: float) -> None:
    loss = number_loss(Recipe(loss=name, huber_delta=2.0))
    told = loss(torch.tensor([[1.5], [4.0]]), torch.tensor([1.0, 1.0]))
    assert float(told) == pytest.approx(expected)


def test_a_loss_of_the_other_task_is_refused() -> None:
    with pytest.raises(ValueError, match="'mse' is for numbers; for classes: cross_entropy"):
        class_loss(Recipe(loss="mse"), 2, None)
    with pytest.raises(ValueError, match="'focal' is for classes; for numbers: mse"):
        number_loss(Recipe(loss="focal"))
    with pytest.raises(ValueError, match="tells two classes apart, and there are 3"):
        class_loss(Recipe(loss="binary_cross_entropy"), 3, None)


def test_the_l1_penalty_leaves_biases_out() -> None:
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.5, -2.0]]))
        layer.bias.fill_(7.0)
    assert float(l1_penalty(layer).detach()) == 3.5
