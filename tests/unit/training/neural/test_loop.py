"""The training loop: what ends it, and that an interruption changes nothing."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from modelyard.core.tasks import Progress
from modelyard.training.neural.examples import Examples
from modelyard.training.neural.loop import Course, train
from modelyard.training.neural.losses import class_loss
from modelyard.training.neural.perceptron import Perceptron
from modelyard.training.neural.recipe import OPTIMIZERS, SCHEDULES, Recipe
from modelyard.training.watch import Watch

PLAIN = Recipe(epochs=6, batch_size=16, learning_rate=0.01)


class Killed(Exception):
    """The process dies after so many epochs."""


def examples(rows: int = 120, seed: int = 3) -> Examples:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(rows, 5))
    noise = generator.normal(size=rows) / 2
    return Examples(matrix, (matrix[:, 0] - matrix[:, 1] ** 2 + noise > 0).astype(int))


def network(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(0)
    return Perceptron(hidden_layer_sizes=(8,), dropout=dropout).build((5,), 2)


def run(
    recipe: Recipe, watch: Watch | None = None, held: Examples | None = None
) -> tuple[Course, dict[str, Any]]:
    module = network()
    loss, _ = class_loss(recipe, 2, None)
    course = train(module, examples(), loss, recipe, seed=1, watch=watch or Watch(), held=held)
    return course, {name: value.numpy().copy() for name, value in module.state_dict().items()}


def killed_after(epoch: int, checkpoint: Path) -> Watch:
    def report(line: Progress) -> None:
        if line.data.get("epoch") == epoch + 1:
            raise Killed

    return Watch(report, checkpoint, seconds=0.0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_was_killed_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, optimizer: str, schedule: str
) -> None:
    recipe = msgspec.structs.replace(PLAIN, optimizer=optimizer, lr_schedule=schedule)
    held = examples(40, seed=9)
    course, whole = run(recipe, held=held)
    path, story = tmp_path / "checkpoint.pt", list[Progress]()
    for epoch in (2, 4):
        with pytest.raises(Killed):
            run(recipe, killed_after(epoch, path), held)
    again, resumed = run(recipe, Watch(story.append, path), held)
    assert story[0].message == "going on after epoch 4 of 6"
    assert [line.data["epoch"] for line in story[1:]] == [5, 6]
    assert again == course
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], name)


def test_another_seed_makes_another_network() -> None:
    module = network()
    loss, _ = class_loss(PLAIN, 2, None)
    train(module, examples(), loss, PLAIN, seed=2, watch=Watch())
    _, first = run(PLAIN)
    assert not np.array_equal(first["0.weight"], module.state_dict()["0.weight"].numpy())


@pytest.mark.parametrize("what", ["damaged", "cut off", "of another recipe"])
def test_a_checkpoint_that_does_not_fit_is_left_aside(tmp_path: Path, what: str) -> None:
    path, story = tmp_path / "checkpoint.pt", list[Progress]()
    with pytest.raises(Killed):
        run(PLAIN, killed_after(3, path))
    if what == "damaged":
        path.write_bytes(b"no checkpoint at all")
    elif what == "cut off":
        path.write_bytes(path.read_bytes()[:1000])
    recipe = msgspec.structs.replace(PLAIN, l1=1e-5) if what == "of another recipe" else PLAIN
    run(recipe, Watch(story.append, path))
    assert [line.data["epoch"] for line in story] == [1, 2, 3, 4, 5, 6]


def test_it_tells_of_each_epoch() -> None:
    story: list[Progress] = []
    run(PLAIN, Watch(story.append), examples(40, seed=9))
    assert [line.fraction for line in story] == [epoch / 6 for epoch in range(1, 7)]
    assert story[0].message.startswith("epoch 1 of 6: loss 0.")
    assert story[-1].message.endswith(", 0 s left")
    assert story[-1].data.keys() == {"epoch", "epochs", "loss", "validation_loss", "seconds_left"}
    assert story[-1].data["loss"] < story[0].data["loss"]


def test_it_stops_when_nothing_gets_better_and_keeps_the_best() -> None:
    recipe = Recipe(epochs=500, batch_size=16, learning_rate=0.05, patience=5)
    losses: list[float] = []

    def report(line: Progress) -> None:
        losses.append(line.data["validation_loss"])

    course, _ = run(recipe, Watch(report), examples(40, seed=9))
    assert course.epochs == len(losses) < 500
    assert course.kept == losses.index(min(losses)) + 1 == course.epochs - 5
    assert course.held_loss == pytest.approx(min(losses), abs=1e-6)


def test_a_loss_that_gets_lost_is_told() -> None:
    recipe = msgspec.structs.replace(PLAIN, optimizer="sgd", learning_rate=10.0, batch_size=4)
    far = Examples(examples().arrays[0] * 1e18, examples().arrays[1])
    torch.manual_seed(0)
    module = Perceptron(hidden_layer_sizes=(8,), batch_norm=False).build((5,), 2)
    loss, _ = class_loss(recipe, 2, None)
    with pytest.raises(ArithmeticError, match="lower learning_rate or set gradient_clip"):
        train(module, far, loss, recipe, seed=1, watch=Watch())


def test_a_clipped_gradient_takes_a_step_of_bounded_length() -> None:
    recipe = Recipe(
        epochs=1, batch_size=500, optimizer="sgd", learning_rate=1.0, momentum=0.0,
        weight_decay=0.0, gradient_clip=0.01,
    )  # fmt: skip
    before = {name: value.numpy().copy() for name, value in network().state_dict().items()}
    _, after = run(recipe)
    learned = [name for name in before if name.endswith(("weight", "bias"))]
    moved = sum(float(((after[name] - before[name]) ** 2).sum()) for name in learned)
    assert moved**0.5 == pytest.approx(0.01, rel=1e-3)


def test_an_l1_penalty_pulls_weights_to_zero() -> None:
    recipe = Recipe(epochs=40, batch_size=16, learning_rate=0.01, weight_decay=0.0)
    _, plain = run(recipe)
    _, penalised = run(msgspec.structs.replace(recipe, l1=0.03))
    assert np.abs(penalised["0.weight"]).mean() < 0.3 * np.abs(plain["0.weight"]).mean()


def test_batches_are_of_like_size() -> None:
    sizes = [len(places) for places in examples(33).batches(16)]
    assert sizes == [11, 11, 11]
