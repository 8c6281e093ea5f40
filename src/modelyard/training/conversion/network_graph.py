"""PyTorch networks of our own as ONNX: layer by layer, without torch's exporter.

A new kind of layer gets a writer in `WRITERS`, which adds its nodes and returns the name of what it
gives. Layers are written as they are in evaluation: dropout and augmentation are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from modelyard.serving.runtimes.answers import LABEL, PREDICTION, PROBABILITIES
from modelyard.training.conversion.boosted import labelled
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.trees import likeliest, two_columns
from modelyard.training.neural.convolutional import Augment, Scale
from modelyard.training.neural.estimator import Network, NetworkRegressor

Writer = Callable[[GraphBuilder, Any, str], str]


def answers(builder: GraphBuilder, network: Network, matrix: str) -> dict[str, str]:
    """The nodes that answer for rows of `matrix` [n, *shape], by the names of ADR 0007."""
    return answers_of(builder, network, write(builder, network.module, matrix))


def answers_of(builder: GraphBuilder, network: Network, outputs: str) -> dict[str, str]:
    """The nodes that answer, from the network's outputs [n, outputs]."""
    if isinstance(network, NetworkRegressor):
        scaled = builder.node("Mul", outputs, builder.constant(network.scale_))
        return {PREDICTION: builder.node("Add", scaled, builder.constant(network.mean_))}
    probabilities = probabilities_of(builder, network, outputs)
    label = labelled(builder, likeliest(builder, probabilities), list(network.classes_))
    return {LABEL: label, PROBABILITIES: probabilities}


def probabilities_of(builder: GraphBuilder, network: Any, outputs: str) -> str:
    """The probability of each class [n, classes], from a classifier's outputs."""
    if network.outputs_ == 1:
        return two_columns(builder, builder.node("Sigmoid", outputs))
    return builder.node("Softmax", outputs, axis=1)


def write(builder: GraphBuilder, module: nn.Module, source: str) -> str:
    """Add the module's nodes, fed from `source`; return the name of its output.

    Raises:
        NotConvertible: it has a layer that has no writer.
    """
    writer = WRITERS.get(type(module))
    if writer is None:
        raise NotConvertible(f"a layer of the kind {type(module).__name__} has no ONNX form")
    return writer(builder, module, source)


def weight(builder: GraphBuilder, values: Tensor) -> str:
    """A constant of the values that a layer has learned."""
    return builder.constant(values.detach().numpy())


def _sequential(builder: GraphBuilder, module: nn.Sequential, source: str) -> str:
    for layer in module:
        source = write(builder, layer, source)
    return source


def _nothing(builder: GraphBuilder, module: nn.Module, source: str) -> str:
    return source


def _linear(builder: GraphBuilder, layer: nn.Linear, source: str) -> str:
    wide = builder.node("MatMul", source, weight(builder, layer.weight.T))
    return wide if layer.bias is None else builder.node("Add", wide, weight(builder, layer.bias))


def _batch_norm(builder: GraphBuilder, layer: Any, source: str) -> str:
    ones = torch.ones_like(layer.running_mean)
    scale, shift = (ones, ones - 1) if layer.weight is None else (layer.weight, layer.bias)
    parts = (scale, shift, layer.running_mean, layer.running_var)
    constants = [weight(builder, part) for part in parts]
    return builder.node("BatchNormalization", source, *constants, epsilon=layer.eps)


def _flatten(builder: GraphBuilder, layer: nn.Flatten, source: str) -> str:
    return builder.node("Flatten", source, axis=layer.start_dim)


def _activation(kind: str) -> Writer:
    def write_activation(builder: GraphBuilder, layer: nn.Module, source: str) -> str:
        return builder.node(kind, source)

    return write_activation


def _leaky_relu(builder: GraphBuilder, layer: nn.LeakyReLU, source: str) -> str:
    return builder.node("LeakyRelu", source, alpha=layer.negative_slope)


def _gelu(builder: GraphBuilder, layer: nn.GELU, source: str) -> str:
    """By erf: x / 2 * (1 + erf(x / sqrt 2)). It is an operator of its own from opset 20 on."""
    root = builder.node("Mul", source, builder.constant(np.sqrt(0.5)))
    one = builder.node("Add", builder.node("Erf", root), builder.constant(1.0))
    return builder.node("Mul", builder.node("Mul", source, builder.constant(0.5)), one)


def _silu(builder: GraphBuilder, layer: nn.SiLU, source: str) -> str:
    return builder.node("Mul", source, builder.node("Sigmoid", source))


def _scale(builder: GraphBuilder, layer: Scale, source: str) -> str:
    return builder.node("Mul", source, builder.constant(layer.factor))


def _unflatten(builder: GraphBuilder, layer: nn.Unflatten, source: str) -> str:
    shape = [0, *layer.unflattened_size]
    return builder.node("Reshape", source, builder.constant(shape, np.int64))


def _convolution(builder: GraphBuilder, layer: nn.Conv2d, source: str) -> str:
    parts = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    constants = [weight(builder, part) for part in parts]
    high, wide = layer.kernel_size
    return builder.node(
        "Conv",
        source,
        *constants,
        kernel_shape=[high, wide],
        pads=[(high - 1) // 2, (wide - 1) // 2, high // 2, wide // 2],
    )


def _max_pool(builder: GraphBuilder, layer: nn.MaxPool2d, source: str) -> str:
    size = [layer.kernel_size, layer.kernel_size]
    return builder.node("MaxPool", source, kernel_shape=size, strides=size)


WRITERS: Final[Mapping[type[nn.Module], Writer]] = {
    nn.Sequential: _sequential,
    nn.Dropout: _nothing,
    nn.Identity: _nothing,
    nn.Linear: _linear,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Conv2d: _convolution,
    nn.MaxPool2d: _max_pool,
    nn.Unflatten: _unflatten,
    Augment: _nothing,
    Scale: _scale,
    nn.Flatten: _flatten,
    nn.ReLU: _activation("Relu"),
    nn.ELU: _activation("Elu"),
    nn.Tanh: _activation("Tanh"),
    nn.Sigmoid: _activation("Sigmoid"),
    nn.LeakyReLU: _leaky_relu,
    nn.GELU: _gelu,
    nn.SiLU: _silu,
}
