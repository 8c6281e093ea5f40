"""The training loop: epochs of mini-batches, until they are done or nothing gets better.

Each epoch draws its order, its dropout and its augmentation from a seed of its own, and learning
rates follow from the step's number alone: a training that is taken up from a checkpoint ends with
the same weights, bit for bit, as one that was never interrupted (on the same machine, as floating
point goes).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from modelyard.core.tasks import Progress
from modelyard.training.neural import checkpoint
from modelyard.training.neural.examples import Examples
from modelyard.training.neural.losses import Loss, l1_penalty
from modelyard.training.neural.optimisers import learning_rate, optimizer_of
from modelyard.training.neural.recipe import Recipe
from modelyard.training.watch import Watch

Weights = dict[str, Tensor]

_COST: Final = 0.05
"""Seconds that a checkpoint takes to write before they are written less often."""


class Metric(msgspec.Struct, frozen=True):
    """What is told of each epoch beside the loss: a mean over rows, of outputs and targets."""

    name: str
    mean: Callable[[Any, Tensor], float]


class Course(msgspec.Struct, frozen=True):
    """How a training went. `kept` is the epoch, from 1, whose weights the module has now."""

    epochs: int
    kept: int
    loss: float
    held_loss: float | None


def train(
    module: nn.Module,
    examples: Examples,
    loss: Loss,
    recipe: Recipe,
    *,
    seed: int,
    watch: Watch,
    held: Examples | None = None,
    metric: Metric | None = None,
) -> Course:
    """Train the module in place. With `held` rows it stops early and keeps the best weights.

    The loss compares what the module makes of a batch with its targets.

    Raises:
        ArithmeticError: the loss is no longer a number; the message says what may help.
    """
    with torch.random.fork_rng(devices=[]):
        training = _Training(module, examples, loss, recipe, seed=seed, watch=watch)
        return training.run(held, metric)


class _Training:
    def __init__(
        self,
        module: nn.Module,
        examples: Examples,
        loss: Loss,
        recipe: Recipe,
        *,
        seed: int,
        watch: Watch,
    ) -> None:
        self._module = module
        self._examples = examples
        self._loss = loss
        self._recipe = recipe
        self._seed = seed
        self._watch = watch
        self._held: Examples | None = None
        self._metric: Metric | None = None
        self._optimizer = optimizer_of(module, recipe)
        self._steps = len(list(examples.batches(recipe.batch_size)))
        self._fingerprint = checkpoint.fingerprint(module, recipe, seed, len(examples))
        self._epoch = 0
        self._best_epoch = 0
        self._best_loss = math.inf
        self._best: Weights | None = None
        self._last = (math.nan, math.inf)

    def run(self, held: Examples | None, metric: Metric | None) -> Course:
        self._held, self._metric = held, metric
        self._take_up()
        first, began = self._epoch, time.monotonic()
        saved_at, cost = began, 0.0
        while self._epoch < self._recipe.epochs and not self._stale():
            told = self._one_epoch()
            now = time.monotonic()
            left = (now - began) / (self._epoch - first) * (self._recipe.epochs - self._epoch)
            self._tell(told, left)
            pause = self._watch.seconds * max(1.0, cost / _COST)
            if self._watch.checkpoint is not None and now - saved_at >= pause:
                self._save()
                saved_at = time.monotonic()
                cost = saved_at - now
        if self._best is not None:
            self._module.load_state_dict(self._best)
        kept = self._best_epoch or self._epoch
        held_loss = self._best_loss if self._held is not None else None
        return Course(self._epoch, kept, self._last[0], held_loss)

    def _stale(self) -> bool:
        return self._held is not None and self._epoch - self._best_epoch >= self._recipe.patience

    def _one_epoch(self) -> Mapping[str, float]:
        """Train for an epoch, and say how it went."""
        (own,) = np.random.SeedSequence([self._seed, self._epoch]).generate_state(1, np.uint64)
        torch.manual_seed(int(own) >> 1)
        order = np.random.default_rng(own).permutation(len(self._examples))
        total, step = 0.0, self._epoch * self._steps
        self._module.train()
        for places in self._examples.batches(self._recipe.batch_size, order):
            total += self._step(places, step) * len(places)
            step += 1
        self._epoch += 1
        told = {"loss": total / len(order)}
        if not math.isfinite(told["loss"]):
            raise ArithmeticError(
                f"the loss is {told['loss']} in epoch {self._epoch}: lower learning_rate or set "
                "gradient_clip"
            )
        if self._held is not None:
            told |= self._validated(self._held)
        self._last = told["loss"], told.get("validation_loss", math.inf)
        return told

    def _step(self, places: Any, step: int) -> float:
        recipe = self._recipe
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step, self._steps)
        inputs, target = self._examples.batch(places)
        loss = self._loss(self._module(*inputs), target)
        told = float(loss.detach())
        if recipe.l1:
            loss = loss + recipe.l1 * l1_penalty(self._module)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._module.parameters(), recipe.gradient_clip)
        self._optimizer.step()
        return told

    def _validated(self, held: Examples) -> dict[str, float]:
        """Loss and metric of the held-out rows; the best weights so far are kept."""
        told = {"validation_loss": 0.0}
        self._module.eval()
        with torch.inference_mode():
            for places in held.batches(4 * self._recipe.batch_size):
                inputs, target = held.batch(places)
                outputs, share = self._module(*inputs), len(places) / len(held)
                told["validation_loss"] += float(self._loss(outputs, target)) * share
                if self._metric is not None:
                    mean = self._metric.mean(outputs, target) * share
                    told[self._metric.name] = told.get(self._metric.name, 0.0) + mean
        if told["validation_loss"] < self._best_loss:
            self._best_loss, self._best_epoch = told["validation_loss"], self._epoch
            self._best = copy.deepcopy(self._module.state_dict())
        return told

    def _tell(self, told: Mapping[str, float], left: float) -> None:
        epochs = self._recipe.epochs
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in told.items())
        self._watch.report(
            Progress(
                f"epoch {self._epoch} of {epochs}: {numbers}, {_in_words(left)} left",
                self._epoch / epochs,
                {
                    "epoch": self._epoch,
                    "epochs": epochs,
                    **{name: round(value, 6) for name, value in told.items()},
                    "seconds_left": round(left, 1),
                },
            )
        )

    def _save(self) -> None:
        assert self._watch.checkpoint is not None  # noqa: S101 - the caller has looked
        state: checkpoint.State = {
            "fingerprint": self._fingerprint,
            "epoch": self._epoch,
            "module": self._module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "best": self._best,
            "best_epoch": self._best_epoch,
            "best_loss": self._best_loss,
            "last": self._last,
        }
        checkpoint.save(self._watch.checkpoint, state)

    def _take_up(self) -> None:
        """Go on where a training that was killed had left its last checkpoint."""
        if self._watch.checkpoint is None:
            return
        state = checkpoint.load(self._watch.checkpoint, self._fingerprint)
        if state is None:
            return
        self._module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._best, self._best_epoch = state["best"], state["best_epoch"]
        self._best_loss, self._epoch = state["best_loss"], state["epoch"]
        self._last = state["last"]
        self._watch.report(
            Progress(
                f"going on after epoch {self._epoch} of {self._recipe.epochs}",
                self._epoch / self._recipe.epochs,
                {"resumed": self._epoch},
            )
        )


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
