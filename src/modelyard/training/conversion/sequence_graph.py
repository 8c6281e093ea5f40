"""Networks that read sequences as ONNX; see `neural/sequence.py`.

A mask goes with the vectors: 1 where there is a step, 0 behind the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn

from modelyard.serving.runtimes.text import PADDING
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.network_graph import weight, write
from modelyard.training.neural.attention import Block, EncoderLayers
from modelyard.training.neural.convolutions import ConvolutionLayer, MeanLayer, reach
from modelyard.training.neural.pooling import LEAST
from modelyard.training.neural.recurrent import RecurrentLayer
from modelyard.training.neural.sequence import SequenceLayer, TextModule, WindowModule
from modelyard.training.neural.tagger import Tagger


class Steps(NamedTuple):
    """Vectors [n, steps, width] and their mask [n, steps], FP32, by the names of their nodes."""

    vectors: str
    mask: str


def reads_sequences(module: nn.Module) -> bool:
    """Whether this is the module to write it."""
    return isinstance(module, TextModule | WindowModule)


def outputs(builder: GraphBuilder, module: Any, source: str) -> str:
    """The module's outputs [n, outputs] for the tokens or the windows of `source`."""
    if isinstance(module, TextModule):
        steps = tokens(builder, module, source)
    else:
        shape = builder.constant([0, module.steps, -1], np.int64)
        vectors = builder.node("Reshape", source, shape)
        (first,) = builder.node_of(
            1, "ReduceSum", vectors, builder.constant([2], np.int64), keepdims=0
        )
        zeros = builder.node("Mul", first, builder.constant(0.0))
        steps = Steps(vectors, builder.node("Add", zeros, builder.constant(1.0)))
    return write(builder, module.head, READERS[type(module.reader)](builder, module.reader, steps))


def tags(builder: GraphBuilder, tagger: Tagger, source: str) -> str:
    """The tag of each token in `source`, empty strings behind the end: BYTES [n, tokens]."""
    from onnx import TensorProto

    steps = tokens(builder, tagger.module, source)
    found = write(builder, tagger.module.head, states(builder, tagger.module.reader, steps))
    places = builder.node("ArgMax", found, axis=2, keepdims=0)
    there = builder.node("Cast", steps.mask, to=TensorProto.BOOL)
    behind = builder.constant(len(tagger.tags_), np.int64)
    places = builder.node("Where", there, places, behind)
    return builder.node("Gather", builder.strings([*tagger.tags_, ""]), places, axis=0)


def tokens(builder: GraphBuilder, module: TextModule, source: str) -> Steps:
    """The vectors of the tokens in `source`, INT64 [n, tokens]."""
    from onnx import TensorProto

    table = weight(builder, module.embedding.weight)
    padding = builder.node("Equal", source, builder.constant(PADDING, np.int64))
    mask = builder.node("Cast", builder.node("Not", padding), to=TensorProto.FLOAT)
    return Steps(builder.node("Gather", table, source, axis=0), mask)


def states(builder: GraphBuilder, layer: SequenceLayer, steps: Steps) -> str:
    """A vector for each step: [n, steps, width]."""
    if isinstance(layer, RecurrentLayer):
        return _recurrent_states(builder, layer, steps)
    return _encoder_states(builder, layer, steps)


def _recurrent_states(builder: GraphBuilder, layer: RecurrentLayer, steps: Steps) -> str:
    from onnx import TensorProto

    axis = builder.constant([1], np.int64)
    counts = builder.node("ReduceSum", steps.mask, axis, keepdims=0)
    lengths = builder.node("Cast", counts, to=TensorProto.INT32)
    found = builder.node("Transpose", steps.vectors, perm=[1, 0, 2])
    for cell in layer.layers:
        found = _cells(builder, layer, cell, found, lengths)
    return builder.node("Transpose", found, perm=[1, 0, 2])


def _cells(
    builder: GraphBuilder, layer: RecurrentLayer, cell: Any, source: str, lengths: str
) -> str:
    """One layer, [steps, n, width] to [steps, n, ways * hidden]."""
    size, ways = layer.hidden_size, 2 if cell.bidirectional else 1
    kind, order = _GATES[layer.cell]
    parts: dict[str, list[Any]] = {"weight_ih": [], "weight_hh": [], "bias": []}
    for suffix in ("", "_reverse")[:ways]:
        own = {
            name: torch.cat(
                [getattr(cell, f"{name}_l0{suffix}").chunk(len(order))[k] for k in order]
            )
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        parts["weight_ih"].append(own["weight_ih"])
        parts["weight_hh"].append(own["weight_hh"])
        parts["bias"].append(torch.cat([own["bias_ih"], own["bias_hh"]]))
    constants = [weight(builder, torch.stack(part)) for part in parts.values()]
    options: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    direction = "bidirectional" if ways == 2 else "forward"
    found = builder.node(
        kind, source, *constants, lengths, hidden_size=size, direction=direction, **options
    )
    turned = builder.node("Transpose", found, perm=[0, 2, 1, 3])
    return builder.node("Reshape", turned, builder.constant([0, 0, ways * size], np.int64))


_GATES: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "rnn": ("RNN", (0,)),
    # PyTorch has input, forget, cell, output; ONNX has input, output, forget, cell.
    "lstm": ("LSTM", (0, 3, 1, 2)),
    # PyTorch has reset, update, new; ONNX has update, reset, hidden.
    "gru": ("GRU", (1, 0, 2)),
}


def _recurrent(builder: GraphBuilder, layer: RecurrentLayer, steps: Steps) -> str:
    found = _recurrent_states(builder, layer, steps)
    if layer.pooling != "last" or layer.width == layer.hidden_size:
        return pooled(builder, found, steps.mask, layer.pooling)
    split = builder.constant([layer.hidden_size] * 2, np.int64)
    there, back = builder.node_of(2, "Split", found, split, axis=2)
    there = pooled(builder, there, steps.mask, layer.pooling)
    back = builder.node("Gather", back, builder.constant([0], np.int64), axis=1)
    back = builder.node("Squeeze", back, builder.constant([1], np.int64))
    return builder.node("Concat", there, back, axis=1)


def pooled(builder: GraphBuilder, found: str, mask: str, pooling: str) -> str:
    """As `neural/pooling.py` does it."""
    one, two = (builder.constant([axis], np.int64) for axis in (1, 2))
    if pooling == "max":
        behind = builder.node("Sub", builder.constant(1.0), mask)
        hidden = builder.node("Cast", builder.node("Unsqueeze", behind, two), to=_BOOL)
        kept = builder.node("Where", hidden, builder.constant(LEAST), found)
        return builder.node("ReduceMax", kept, one, keepdims=0)
    total = builder.node("ReduceSum", mask, one, keepdims=1)
    if pooling == "mean":
        weights = builder.node("Div", mask, total)
    else:
        passed = builder.node("CumSum", mask, builder.constant(1, np.int64))
        ends = builder.node("Cast", builder.node("Equal", passed, total), to=_FLOAT)
        weights = builder.node("Mul", ends, mask)
    weighted = builder.node("Mul", found, builder.node("Unsqueeze", weights, two))
    return builder.node("ReduceSum", weighted, one, keepdims=0)


_FLOAT, _BOOL = 1, 9
"""ONNX's numbers of these element types."""


def _convolutions(builder: GraphBuilder, layer: ConvolutionLayer, steps: Steps) -> str:
    masked = builder.node(
        "Mul",
        steps.vectors,
        builder.node("Unsqueeze", steps.mask, builder.constant([2], np.int64)),
    )
    turned = builder.node("Transpose", masked, perm=[0, 2, 1])
    found = []
    for each in layer.filters:
        parts = (weight(builder, each.weight), weight(builder, each.bias))
        wide = builder.node("Conv", turned, *parts, pads=list(reach(each)))
        back = builder.node("Transpose", builder.node("Relu", wide), perm=[0, 2, 1])
        found.append(pooled(builder, back, steps.mask, "max"))
    return builder.node("Concat", *found, axis=1)


def _mean(builder: GraphBuilder, layer: MeanLayer, steps: Steps) -> str:
    return write(builder, layer.dense, pooled(builder, steps.vectors, steps.mask, "mean"))


def _encoder(builder: GraphBuilder, layer: EncoderLayers, steps: Steps) -> str:
    found = _encoder_states(builder, layer, steps)
    return pooled(builder, found, steps.mask, layer.pooling)


def _encoder_states(builder: GraphBuilder, layer: Any, steps: Steps) -> str:
    from onnx import TensorProto

    passed = builder.node("CumSum", steps.mask, builder.constant(1, np.int64))
    place = builder.node("Sub", passed, builder.constant(1.0))
    last = float(len(layer.places) - 1)
    place = builder.node("Clip", place, builder.constant(0.0), builder.constant(last))
    place = builder.node("Cast", place, to=TensorProto.INT64)
    places = builder.node("Gather", weight(builder, layer.places), place, axis=0)
    found = builder.node("Add", write(builder, layer.project, steps.vectors), places)
    behind = builder.node("Sub", builder.constant(1.0), steps.mask)
    behind = builder.node("Mul", behind, builder.constant(LEAST))
    hidden = builder.node("Unsqueeze", behind, builder.constant([1, 2], np.int64))
    for block in layer.blocks:
        found = _block(builder, block, found, hidden)
    return _normalised(builder, layer.norm, found)


def _block(builder: GraphBuilder, block: Block, source: str, hidden: str) -> str:
    wide = _normalised(builder, block.attention_norm, source)
    wide = write(builder, block.queries_keys_values, wide)
    width = block.out.in_features
    split = builder.constant([width] * 3, np.int64)
    shape = builder.constant([0, 0, block.heads, width // block.heads], np.int64)
    queries, keys, values = (
        builder.node("Reshape", part, shape)
        for part in builder.node_of(3, "Split", wide, split, axis=2)
    )
    queries = builder.node("Transpose", queries, perm=[0, 2, 1, 3])
    keys = builder.node("Transpose", keys, perm=[0, 2, 3, 1])
    values = builder.node("Transpose", values, perm=[0, 2, 1, 3])
    scores = builder.node("MatMul", queries, keys)
    scale = builder.constant(1 / math.sqrt(width // block.heads))
    scores = builder.node("Add", builder.node("Mul", scores, scale), hidden)
    found = builder.node("MatMul", builder.node("Softmax", scores, axis=3), values)
    found = builder.node("Transpose", found, perm=[0, 2, 1, 3])
    found = builder.node("Reshape", found, builder.constant([0, 0, width], np.int64))
    source = builder.node("Add", source, write(builder, block.out, found))
    norm, *layers = block.feedforward
    forward = _normalised(builder, norm, source)
    for layer in layers:
        forward = write(builder, layer, forward)
    return builder.node("Add", source, forward)


def _normalised(builder: GraphBuilder, norm: Any, source: str) -> str:
    parts = (weight(builder, norm.weight), weight(builder, norm.bias))
    return builder.node("LayerNormalization", source, *parts, epsilon=norm.eps)


READERS: Final[Mapping[type[nn.Module], Callable[[GraphBuilder, Any, Steps], str]]] = {
    RecurrentLayer: _recurrent,
    ConvolutionLayer: _convolutions,
    MeanLayer: _mean,
    EncoderLayers: _encoder,
}
