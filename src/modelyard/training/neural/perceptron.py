"""The multilayer perceptron: dense layers one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from torch import nn

ACTIVATIONS: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Perceptron(msgspec.Struct, frozen=True):
    """Layers of so many units, each followed by its activation; what is flat stays so."""

    hidden_layer_sizes: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    dropout: float = 0.1
    batch_norm: bool = True

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """See `Architecture`."""
        layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
        return nn.Sequential(*layers, *self.layers(math.prod(shape), outputs))

    def layers(self, width: int, outputs: int) -> list[nn.Module]:
        """The layers behind `width` numbers a row."""
        layers: list[nn.Module] = []
        for units in self.hidden_layer_sizes:
            layers.append(nn.Linear(width, units, bias=not self.batch_norm))
            if self.batch_norm:
                layers.append(nn.BatchNorm1d(units))
            layers.append(ACTIVATIONS[self.activation]())
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            width = units
        return [*layers, nn.Linear(width, outputs)]
