"""ONNX graphs that tests import and deploy, each with answers that can be told in advance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": STRING,
}
"""Every datatype of the protocol that a graph can take."""


def scaled(path: Path, factor: float) -> Path:
    """`y = factor * x` on FP32 rows of two columns."""
    return _write(
        path,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [_tensor("x", FLOAT, [None, 2])],
        [_tensor("y", FLOAT, [None, 2])],
        [numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )


def echoed(path: Path) -> Path:
    """Strings in, the same strings out."""
    return _write(
        path,
        [helper.make_node("Identity", ["text"], ["said"])],
        [_tensor("text", STRING, [None])],
        [_tensor("said", STRING, [None])],
    )


def typed(path: Path) -> Path:
    """For each datatype an input of its name, in lower case, which comes out with `_again`."""
    names = {name.lower(): kind for name, kind in TYPES.items()}
    return _write(
        path,
        [helper.make_node("Identity", [name], [f"{name}_again"]) for name in names],
        [_tensor(name, kind, [None, 2]) for name, kind in names.items()],
        [_tensor(f"{name}_again", kind, [None, 2]) for name, kind in names.items()],
    )


def mixed(path: Path) -> Path:
    """`size` doubled and `place` as it is."""
    return _write(
        path,
        [
            helper.make_node("Add", ["size", "size"], ["doubled"]),
            helper.make_node("Identity", ["place"], ["where"]),
        ],
        [_tensor("size", FLOAT, [None]), _tensor("place", STRING, [None])],
        [_tensor("doubled", FLOAT, [None]), _tensor("where", STRING, [None])],
    )


def slow(path: Path, *, base: int = 20, width: int = 256) -> Path:
    """Multiplies matrices `base` times, and as often more as the input `turns` says.

    One turn takes about a millisecond. The base keeps calls off the gateway's event loop. The
    output `done` is `turns` again.
    """
    state = helper.make_tensor_value_info("state", FLOAT, [width, width])
    after = helper.make_tensor_value_info("after", FLOAT, [width, width])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["go_on"]),
            helper.make_node("MatMul", ["state", "weights"], ["after"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("at", INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            state,
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), after],
    )
    weights = np.eye(width, dtype=np.float32)
    return _write(
        path,
        [
            helper.make_node("ReduceMax", ["turns"], ["most"], keepdims=0),
            helper.make_node("Add", ["most", "base"], ["count"]),
            helper.make_node("Loop", ["count", "", "weights"], ["worked"], body=body),
            helper.make_node("ReduceSum", ["worked"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "nothing"], ["zero"]),
            helper.make_node("Cast", ["zero"], ["added"], to=INT64),
            helper.make_node("Add", ["turns", "added"], ["done"]),
        ],
        [_tensor("turns", INT64, [None])],
        [_tensor("done", INT64, [None])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(base, np.int64), "base"),
            numpy_helper.from_array(np.array(0, np.float32), "nothing"),
        ],
    )


def _tensor(name: str, kind: int, shape: Sequence[int | None]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _write(
    path: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    initializers: Sequence[Any] = (),
) -> Path:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(path))
    return path
