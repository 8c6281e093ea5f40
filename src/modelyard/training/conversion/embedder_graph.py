"""A sentence embedder's graph with a linear model behind its vectors, as one graph of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.rows import Array

if TYPE_CHECKING:
    import onnx

OUTPUT: Final = "logits"
POOLINGS: Final = ("mean", "cls", "mean_sqrt_len")
"""Ways from tokens' vectors to that of the text that are written here."""
_MASK: Final = "attention_mask"
_PREFIX: Final = "modelyard.head."
_LEAST_NORM: Final = 1e-12


def with_head(graph: bytes, vectors: str, pooling: str | None, head: LinearHead) -> bytes:
    """The graph, giving `logits` [batch, classes] instead of what it gave.

    `vectors` is its output of vectors: of tokens [batch, tokens, width], to be pooled, or without
    a `pooling` of whole texts [batch, width].

    Raises:
        NotConvertible: the pooling is none of `POOLINGS`.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(graph)
    end = _End(model)
    found = vectors if pooling is None else end.pooled(vectors, pooling)
    if head.unit:
        found = end.normalised(found, head.weights.shape[0])
    weights, bias = end.constant(head.weights), end.constant(head.bias)
    end.node("Gemm", found, weights, bias, to=OUTPUT)
    del model.graph.output[:]
    shape = ["batch", head.weights.shape[1]]
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape))
    return bytes(model.SerializeToString())


class LinearHead:
    """Weights [width, classes] and bias [classes] for vectors, of length one if they are `unit`."""

    def __init__(self, weights: Array, bias: Array, *, unit: bool) -> None:
        self.weights = np.asarray(weights, np.float32)
        self.bias = np.asarray(bias, np.float32)
        self.unit = unit


class _End:
    """Nodes that are added to a graph of whatever operator set: they are alike in all."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._masked = any(one.name == _MASK for one in model.graph.input)
        self._names = 0

    def pooled(self, vectors: str, pooling: str) -> str:
        """The texts' vectors [batch, width]."""
        if pooling not in POOLINGS:
            raise NotConvertible(
                f"the embedder pools its tokens by '{pooling}'; {', '.join(POOLINGS)} are taken"
            )
        if pooling == "cls":
            return self.node("Gather", vectors, self.constant(0, np.int64), axis=1)
        mask = self._mask(vectors)
        lying = self.node("Reshape", mask, self.constant([0, 1, -1], np.int64))
        standing = self.node("Reshape", mask, self.constant([0, -1, 1], np.int64))
        flat = self.constant([0, -1], np.int64)
        total = self.node("Reshape", self.node("MatMul", lying, vectors), flat)
        count = self.node("Reshape", self.node("MatMul", lying, standing), flat)
        return self.node("Div", total, self.node("Sqrt", count) if "sqrt" in pooling else count)

    def normalised(self, vectors: str, width: int) -> str:
        """The same directions, of length one."""
        ones = self.constant(np.ones((width, 1)))
        squares = self.node("MatMul", self.node("Mul", vectors, vectors), ones)
        length = self.node("Max", self.node("Sqrt", squares), self.constant(_LEAST_NORM))
        return self.node("Div", vectors, length)

    def _mask(self, vectors: str) -> str:
        """1 for each token and 0 for what a text is filled up with [batch, tokens], FP32."""
        from onnx import TensorProto

        if self._masked:
            return self.node("Cast", _MASK, to_type=TensorProto.FLOAT)
        first = self.node("Gather", vectors, self.constant(0, np.int64), axis=2)
        zeros = self.node("Mul", first, self.constant(0.0))
        return self.node("Add", zeros, self.constant(1.0))

    def node(self, kind: str, *inputs: str, to: str = "", to_type: int = 0, **options: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        output = to or self._name()
        if to_type:
            options["to"] = to_type
        self._graph.node.append(helper.make_node(kind, list(inputs), [output], **options))
        return output

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """A constant tensor."""
        from onnx import numpy_helper

        name = self._name()
        array: Array = np.asarray(values, dtype=dtype)
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _name(self) -> str:
        self._names += 1
        return f"{_PREFIX}{self._names}"
