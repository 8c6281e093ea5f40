"""The benchmark's models, made here and now, with what they say to the rows that are sent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from bench.scenarios import FOREST, IMAGE, LOGISTIC, NETWORK

Array = npt.NDArray[Any]

FEATURES: Final = 64
CLASSES: Final = 10
IMAGE_SHAPE: Final = (3, 224, 224)
_OPSET: Final = 17
_FORMAT: Final = 8
"""The version of ONNX's file format: old enough for every peer's ONNX Runtime."""
_WIDTH: Final = 2048


class Model(msgspec.Struct, frozen=True):
    """A graph with one input `X`, and outputs of which `label` is the first.

    `rows` are float32 rows to send, and `labels` what the session itself says to them.
    """

    name: str
    graph: Path
    rows: Array
    labels: list[int]


def make_models(folder: Path) -> dict[str, Model]:
    """Train and build all of them into the folder, as `<name>.onnx`."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    x, y = make_classification(2000, FEATURES, n_informative=16, random_state=0)
    x = x.astype(np.float32)
    images = np.random.default_rng(1).random((1, *IMAGE_SHAPE), dtype=np.float32)
    return {
        LOGISTIC: _saved(
            folder, LOGISTIC, _fitted(LogisticRegression(max_iter=500), x, y), x[:256]
        ),
        FOREST: _saved(
            folder, FOREST, _fitted(RandomForestClassifier(100, random_state=0), x, y), x[:256]
        ),
        NETWORK: _saved(folder, NETWORK, _network(), x[:256]),
        IMAGE: _saved(folder, IMAGE, _image(), images),
    }


def _saved(folder: Path, name: str, graph: bytes, rows: Array) -> Model:
    from modelyard.serving.runtimes.onnx import open_session

    path = folder / f"{name}.onnx"
    path.write_bytes(graph)
    labels = open_session(graph).run(["label"], {"X": rows})[0]
    return Model(name, path, rows, [int(label) for label in labels.ravel()])


def _fitted(estimator: Any, x: Array, y: Array) -> bytes:
    from skl2onnx import to_onnx

    estimator.fit(x, y)
    graph = to_onnx(estimator, x[:1], options={"zipmap": False}, target_opset=_OPSET)
    return bytes(graph.SerializeToString())


def _network() -> bytes:
    """Three hidden layers of 2,048: a call costs more than any request around it."""
    from onnx import helper, numpy_helper

    random = np.random.default_rng(0)
    widths = [FEATURES, _WIDTH, _WIDTH, _WIDTH, CLASSES]
    nodes, weights, last = [], [], "X"
    for layer, (into, out) in enumerate(pairwise(widths)):
        weight = (random.standard_normal((into, out)) / np.sqrt(into)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"weight{layer}"))
        if layer:
            nodes.append(helper.make_node("Relu", [last], [f"active{layer}"]))
            last = f"active{layer}"
        output = "scores" if out == CLASSES else f"sum{layer}"
        nodes.append(helper.make_node("MatMul", [last, f"weight{layer}"], [output]))
        last = output
    return _graph(nodes, weights, [FEATURES])


def _image() -> bytes:
    """An average and three products for each class: what is measured is the tensor's way in."""
    from onnx import helper, numpy_helper

    random = np.random.default_rng(0)
    weight = random.standard_normal((IMAGE_SHAPE[0], CLASSES)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["X"], ["averages"]),
        helper.make_node("Flatten", ["averages"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
    ]
    return _graph(nodes, [numpy_helper.from_array(weight, "weight")], list(IMAGE_SHAPE))


def _graph(nodes: list[Any], weights: list[Any], shape: list[int]) -> bytes:
    """A graph from `X` to the best class and the scores of all."""
    from onnx import TensorProto, checker, helper

    best = helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0)
    graph = helper.make_graph(
        [*nodes, best],
        "bench",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", *shape])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", CLASSES]),
        ],
        weights,
    )
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_FORMAT)
    checker.check_model(model)
    return bytes(model.SerializeToString())
