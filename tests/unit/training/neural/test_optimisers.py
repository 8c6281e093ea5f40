"""Learning rates by the step, and the optimisers themselves."""

import pytest
import torch
from torch import nn

from modelyard.training.neural.optimisers import learning_rate, optimizer_of
from modelyard.training.neural.recipe import OPTIMIZERS, Recipe

STEPS = 10


def rates(**recipe: object) -> list[float]:
    made = Recipe(epochs=10, learning_rate=0.1, **recipe)  # type: ignore[arg-type]
    return [learning_rate(made, step, STEPS) for step in range(100)]


def test_a_constant_rate_stays() -> None:
    assert set(rates(lr_schedule="constant")) == {0.1}


def test_steps_go_down_after_so_many_epochs() -> None:
    found = rates(lr_schedule="step", lr_step_size=4, lr_gamma=0.5)
    assert found[0] == found[39] == 0.1
    assert found[40] == found[79] == pytest.approx(0.05)
    assert found[80] == found[99] == pytest.approx(0.025)


def test_a_cosine_falls_from_the_whole_rate_to_nothing() -> None:
    found = rates(lr_schedule="cosine")
    assert found[0] == pytest.approx(0.1)
    assert found[-1] == pytest.approx(0.0, abs=1e-12)
    assert found == sorted(found, reverse=True)
    assert found[49] + found[50] == pytest.approx(0.1)


def test_one_cycle_rises_and_falls_as_torchs_own_does() -> None:
    found = rates(lr_schedule="one_cycle")
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
    expected = []
    for _ in range(100):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    # It rises over a whole number of steps, which is off by one here.
    assert max(found) == pytest.approx(0.1, rel=0.01)
    assert found == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_a_weight_that_no_loss_pulls_at(name: str) -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    recipe = Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.5, momentum=0.0)
    optimizer = optimizer_of(layer, recipe)
    (layer.weight * 0).sum().backward()
    optimizer.step()
    # AdamW and SGD take rate * decay off; Adam divides by the gradient's own size.
    assert float(layer.weight.detach()) == pytest.approx(0.9 if name == "adam" else 0.95)
