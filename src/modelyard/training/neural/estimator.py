"""Networks as scikit-learn's tools take them: `fit`, `predict`, `predict_proba`, `get_params`."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from torch import Tensor, nn

from modelyard.training.neural.architecture import Architecture, Primed
from modelyard.training.neural.examples import Examples, tensor
from modelyard.training.neural.loop import Course, Metric, train
from modelyard.training.neural.losses import Loss, class_loss, number_loss
from modelyard.training.neural.recipe import Recipe
from modelyard.training.rows import Array
from modelyard.training.watch import Watch

ENOUGH: Final = 300
"""Rows from which on a part of them is enough to tell when to stop."""
AT_ONCE: Final = 1024
"""Rows that are predicted together."""


class Network(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share. What was learned is kept as NumPy arrays, by name."""

    _module: nn.Module | None = None

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> None:
        self.architecture = architecture
        self.recipe = recipe
        self.seed = seed
        self.watch = watch

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments; with `deep` those of architecture and recipe by their names."""
        if not deep:
            return {name: getattr(self, name) for name in self._get_param_names()}
        parts = (self.architecture, self.recipe)
        fields = {name: value for part in parts for name, value in _fields(part).items()}
        return {**fields, "random_state": self.seed}

    @property
    def module(self) -> nn.Module:
        """The trained network, ready to be asked."""
        if self._module is None:
            module = self.architecture.build(self.shape_, self.outputs_)
            states = {name: torch.from_numpy(array) for name, array in self.weights_.items()}
            module.load_state_dict(states)
            self._module = module.eval()
        return self._module

    def __getstate__(self) -> dict[str, Any]:
        """Without the module, which the arrays make again, and without who watches."""
        return {**self.__dict__, "_module": None, "watch": None}

    def _learn(
        self, examples: Examples, loss: Loss, outputs: int, metric: Metric, classes: Array | None
    ) -> None:
        """Train a new module; `classes` are those of the rows, to hold some of each out."""
        inputs = examples.arrays[0]
        self.shape_: tuple[int, ...] = tuple(inputs.shape[1:])
        self.outputs_ = outputs
        stops = self.recipe.early_stopping
        if stops is None:
            stops = len(examples) >= ENOUGH
        held = None
        if stops:
            inside, outside = self._split(len(examples), classes)
            examples, held = examples.take(inside), examples.take(outside)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = self.architecture.build(self.shape_, outputs)
        if isinstance(self.architecture, Primed):
            self.architecture.prime(module, examples.arrays[0], self.seed)
        self.course_: Course = train(
            module,
            examples,
            loss,
            self.recipe,
            seed=self.seed,
            watch=self.watch or Watch(),
            held=held,
            metric=metric,
        )
        self.weights_: dict[str, Array] = {
            name: value.numpy() for name, value in module.state_dict().items()
        }
        self._module = module.eval()

    def _split(self, rows: int, classes: Array | None) -> tuple[Array, Array]:
        """Places to train on and places to validate on: of every class where that can be."""
        from sklearn.model_selection import train_test_split

        counts = None if classes is None else np.bincount(classes)
        held = int(np.ceil(rows * self.recipe.validation_fraction))
        if counts is not None and (counts.min() < 2 or held < len(counts) or rows - held < held):
            classes = None
        inside, outside = train_test_split(
            np.arange(rows), test_size=held, random_state=self.seed, stratify=classes
        )
        return np.sort(inside), np.sort(outside)

    def _answers(self, matrix: Any) -> Tensor:
        """The network's outputs: [n, outputs]."""
        module = self.module
        with torch.inference_mode():
            parts = [
                module(tensor(matrix[start : start + AT_ONCE]))
                for start in range(0, matrix.shape[0], AT_ONCE)
            ]
        return torch.cat(parts)


class NetworkClassifier(ClassifierMixin, Network):  # type: ignore[misc]
    """A network that tells classes apart."""

    def fit(self, matrix: Any, target: Array) -> NetworkClassifier:
        """Learn from `matrix` [n, *shape] and the classes `target` [n].

        Raises:
            ValueError: the recipe's loss does not fit the classes, or the layers the inputs.
            ArithmeticError: the loss got lost.
        """
        self.classes_, places = np.unique(target, return_inverse=True)
        weights = None
        if self.recipe.class_weight == "balanced":
            counts = np.bincount(places)
            weights = tensor(len(places) / (len(counts) * counts.astype(np.float32)))
        loss, outputs = class_loss(self.recipe, len(self.classes_), weights)
        metric = Metric("accuracy", _accuracy)
        self._learn(Examples(matrix, places), loss, outputs, metric, places)
        return self

    def predict_proba(self, matrix: Any) -> Array:
        """The probability of each class: [n, classes], FP32."""
        answers = self._answers(matrix)
        if answers.shape[1] == 1:
            second = torch.sigmoid(answers)
            return np.asarray(torch.cat([1 - second, second], dim=1).numpy())
        return np.asarray(torch.softmax(answers, dim=1).numpy())

    def predict(self, matrix: Any) -> Array:
        """The likeliest class of each row: [n]."""
        return np.asarray(self.classes_[self.predict_proba(matrix).argmax(axis=1)])


class NetworkRegressor(RegressorMixin, Network):  # type: ignore[misc]
    """A network that predicts a number, which it learns at unit scale."""

    def fit(self, matrix: Any, target: Array) -> NetworkRegressor:
        """Learn from `matrix` [n, *shape] and the numbers `target` [n].

        Raises:
            ValueError: the recipe's loss is one of classes, or the layers do not fit the inputs.
            ArithmeticError: the loss got lost.
        """
        self.mean_, self.scale_ = float(np.mean(target)), float(np.std(target)) or 1.0
        scaled = (np.asarray(target, np.float64) - self.mean_) / self.scale_
        loss, metric = number_loss(self.recipe), Metric("explained", _explained)
        self._learn(Examples(matrix, scaled), loss, 1, metric, None)
        return self

    def predict(self, matrix: Any) -> Array:
        """The number for each row: [n], FP64."""
        answers = self._answers(matrix).squeeze(1).numpy().astype(np.float64)
        return np.asarray(answers * self.scale_ + self.mean_)


def _fields(part: Any) -> dict[str, Any]:
    """The fields by name, and those of the structs among them."""
    fields: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(part).items():
        fields |= _fields(value) if isinstance(value, msgspec.Struct) else {name: value}
    return fields


def _accuracy(outputs: Tensor, target: Tensor) -> float:
    found = outputs.squeeze(1) > 0 if outputs.shape[1] == 1 else outputs.argmax(dim=1)
    return float((found == target).float().mean())


def _explained(outputs: Tensor, target: Tensor) -> float:
    """The share of the variance that is explained: the target's own is one."""
    return 1.0 - float(((outputs.squeeze(1) - target) ** 2).mean())
