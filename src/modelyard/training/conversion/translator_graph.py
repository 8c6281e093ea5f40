"""A translator as ONNX: the encoder once, then a loop that writes token by token.

The loop ends when all texts are at their end, or after as many steps as training knew. It joins the
tokens of each text as it goes, so that the graph gives strings.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.network_graph import weight, write
from modelyard.training.conversion.sequence_graph import pooled, states, tokens
from modelyard.training.neural.pooling import LEAST
from modelyard.training.neural.translator import EDGE, FIRST_TOKEN, Translator

OPSET: Final = 20
"""The first that joins strings."""


class _Memory(NamedTuple):
    """What the loop looks at, by names of the graph around it."""

    states: str
    keys: str
    hidden: str


def texts(builder: GraphBuilder, translator: Translator, source: str) -> str:
    """What becomes of the tokens of `source` INT64 [n, tokens]: BYTES [n]."""
    module: Any = translator.module
    steps = tokens(builder, module, source)
    read = states(builder, module.reader, steps)
    behind = builder.node("Sub", builder.constant(1.0), steps.mask)
    behind = builder.node("Mul", behind, builder.constant(LEAST))
    memory = _Memory(read, write(builder, module.keys, read), behind)
    mean = pooled(builder, read, steps.mask, "mean")
    state = builder.node("Tanh", write(builder, module.head, mean))
    rows = builder.node("Shape", source, start=0, end=1)
    edges = builder.node("Expand", builder.constant([EDGE], np.int64), rows)
    zeros = builder.node("Expand", builder.constant([0], np.int64), rows)
    empty = builder.node("Gather", builder.strings([""]), zeros, axis=0)
    going = builder.node("Equal", zeros, zeros)
    body = _body(builder, translator, memory)
    # A loop takes bare numbers, and constants have one dimension at least.
    most = builder.node("Squeeze", builder.constant(translator.steps_, np.int64))
    always = builder.node("Squeeze", builder.constant(True, np.bool_))
    (*_, said) = builder.node_of(4, "Loop", most, always, state, edges, going, empty, body=body)
    return said


def _body(outer: GraphBuilder, translator: Translator, memory: _Memory) -> Any:
    """One step: the state, the last token, which texts go on, and what has been written."""
    from onnx import TensorProto

    module: Any = translator.module
    inner = outer.inner()
    step = inner.input("step", TensorProto.INT64, ())
    inner.input("condition", TensorProto.BOOL, ())
    state = inner.input("state", TensorProto.FLOAT, ("rows", module.cell.hidden_size))
    token = inner.input("token", TensorProto.INT64, ("rows",))
    going = inner.input("going", TensorProto.BOOL, ("rows",))
    said = inner.input("said", TensorProto.STRING, ("rows",))
    outputs, state = _step(inner, module, memory, token, state)
    token = inner.node("ArgMax", outputs, axis=1, keepdims=0)
    first = inner.constant(FIRST_TOKEN, np.int64)
    going = inner.node("And", going, inner.node("Not", inner.node("Less", token, first)))
    silent = inner.constant(0, np.int64)
    written = inner.node("Where", going, token, silent)
    pieces, count = _pieces(translator)
    if translator.written_ == "words":
        later = inner.node("Min", step, inner.constant(1, np.int64))
        shift = inner.node("Mul", later, inner.constant(count, np.int64))
        written = inner.node("Add", written, shift)
    piece = inner.node("Gather", inner.strings(pieces), written, axis=0)
    said = inner.node("StringConcat", said, piece)
    counted = inner.node("Cast", going, to=TensorProto.INT32)
    any_left = inner.node("ReduceMax", counted, keepdims=0)
    inner.output("again", inner.node("Cast", any_left, to=TensorProto.BOOL), TensorProto.BOOL, ())
    inner.output("next_state", state, TensorProto.FLOAT, ("rows", module.cell.hidden_size))
    inner.output("next_token", token, TensorProto.INT64, ("rows",))
    inner.output("still_going", going, TensorProto.BOOL, ("rows",))
    inner.output("all_said", said, TensorProto.STRING, ("rows",))
    return inner.graph()


def _pieces(translator: Translator) -> tuple[list[str], int]:
    """What each token adds to a text; of words first without, then with a space before them."""
    bare = ["", "", *translator.tokens_]
    if translator.written_ == "characters":
        return bare, len(bare)
    return [*bare, "", "", *(f" {word}" for word in translator.tokens_)], len(bare)


def _step(
    builder: GraphBuilder, module: Any, memory: _Memory, token: str, state: str
) -> tuple[str, str]:
    """As `TranslatorModule.step` does it."""
    one, two = (builder.constant([axis], np.int64) for axis in (1, 2))
    query = builder.node("Unsqueeze", write(builder, module.query, state), one)
    looked = builder.node("Tanh", builder.node("Add", query, memory.keys))
    scores = builder.node("Squeeze", write(builder, module.fit, looked), two)
    shares = builder.node("Softmax", builder.node("Add", scores, memory.hidden), axis=1)
    weighted = builder.node("Mul", builder.node("Unsqueeze", shares, two), memory.states)
    context = builder.node("ReduceSum", weighted, one, keepdims=0)
    vector = builder.node("Gather", weight(builder, module.written.weight), token, axis=0)
    given = builder.node("Concat", vector, context, axis=1)
    state = _gru(builder, module.cell, given, state)
    joined = builder.node("Concat", state, context, axis=1)
    return write(builder, module.out, joined), state


def _gru(builder: GraphBuilder, cell: Any, given: str, state: str) -> str:
    """One step of a GRU: (1 - z) n + z h."""
    size = cell.hidden_size
    split = builder.constant([size] * 3, np.int64)
    parts = []
    for source, matrix, bias in (
        (given, cell.weight_ih, cell.bias_ih),
        (state, cell.weight_hh, cell.bias_hh),
    ):
        wide = builder.node("MatMul", source, weight(builder, matrix.T))
        wide = builder.node("Add", wide, weight(builder, bias))
        parts.append(builder.node_of(3, "Split", wide, split, axis=1))
    (reset_in, update_in, new_in), (reset, update, new) = parts
    reset = builder.node("Sigmoid", builder.node("Add", reset_in, reset))
    update = builder.node("Sigmoid", builder.node("Add", update_in, update))
    new = builder.node("Tanh", builder.node("Add", new_in, builder.node("Mul", reset, new)))
    kept = builder.node("Mul", update, state)
    other = builder.node("Sub", builder.constant(1.0), update)
    return builder.node("Add", builder.node("Mul", other, new), kept)
