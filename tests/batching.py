"""Graphs that show what batching does to requests."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto, helper

from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.ports import Runtime
from modelyard.serving.stopping import StopSignal
from tests.dataplane import Model, graph


def mixing(node: str) -> Model:
    """Its rows are answered by what the others hold."""
    signature = Signature(
        (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1, 2)),)
    )
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["total"], keepdims=1),
        helper.make_node(node, ["x", "total"], ["y"]),
    ]
    return Model(f"mixing-{node.lower()}", signature, graph(nodes, signature, {"axis": [0]}))


def looping() -> Model:
    """Counts to the number that each row holds, one node after the other."""
    signature = Signature(
        (TensorSpec("times", Datatype.INT64, (-1,)),), (TensorSpec("y", Datatype.INT64, (-1,)),)
    )
    number = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Less", ["i", "times"], ["short"]),
            helper.make_node("Cast", ["short"], ["step"], to=TensorProto.INT64),
            helper.make_node("Add", ["sum", "step"], ["more"]),
            helper.make_node("Identity", ["on"], ["still"]),
        ],
        "body",
        [
            number("i", TensorProto.INT64, []),
            number("on", TensorProto.BOOL, []),
            number("sum", TensorProto.INT64, [None]),
        ],
        [number("still", TensorProto.BOOL, []), number("more", TensorProto.INT64, [None])],
    )
    nodes = [
        helper.make_node("ReduceMax", ["times"], ["most"], keepdims=0),
        helper.make_node("Sub", ["times", "times"], ["zero"]),
        helper.make_node("Loop", ["most", "", "zero"], ["y"], body=body),
    ]
    return Model("looping", signature, graph(nodes, signature))


class Watched:
    """A runtime that remembers the rows of each call."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.call_seconds = runtime.call_seconds
        self.row_seconds = runtime.row_seconds
        self.stackable = runtime.stackable
        self.calls: list[int] = []

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        self.calls.append(len(next(iter(inputs.values()))))
        return self._runtime.infer(inputs, stop)
