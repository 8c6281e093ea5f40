"""The k nearest neighbours as ONNX.

skl2onnx compares distances in FP32, scikit-learn in FP64: with many rows the two do not choose the
same neighbours.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from modelyard.serving.runtimes.answers import LABEL, PREDICTION, PROBABILITIES
from modelyard.training.conversion.boosted import labelled
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.trees import likeliest

KINDS: Final = frozenset({"KNeighborsClassifier", "KNeighborsRegressor"})


def answers(builder: GraphBuilder, estimator: Any, matrix: str) -> dict[str, str]:
    """The nodes that answer for rows of `matrix`, FP32 [n, width], by the names of ADR 0007."""
    from onnx import TensorProto

    distances, places = _nearest(builder, estimator, matrix)
    classes = list(getattr(estimator, "classes_", ()))
    truth = estimator._y
    table = np.eye(len(classes))[truth] if classes else np.reshape(truth, (-1, 1))
    # [n, k, columns]: what the neighbours say.
    said = builder.node("Gather", builder.constant(table, np.float64), places, axis=0)
    if estimator.weights == "distance":
        mean = _weighted(builder, said, distances)
    else:
        axis = builder.constant([1], np.int64)
        share = builder.constant(1.0 / estimator.n_neighbors, np.float64)
        mean = builder.node("Mul", builder.node("ReduceSum", said, axis, keepdims=0), share)
    narrow = builder.node("Cast", mean, to=TensorProto.FLOAT)
    if not classes:
        return {PREDICTION: narrow}
    return {LABEL: labelled(builder, likeliest(builder, narrow), classes), PROBABILITIES: narrow}


def _nearest(builder: GraphBuilder, estimator: Any, matrix: str) -> tuple[str, str]:
    """Squared distances and places of the nearest rows, both [n, k]: |x|^2 - 2 x.t + |t|^2."""
    from onnx import TensorProto

    if not isinstance(estimator._fit_X, np.ndarray):
        raise NotConvertible("its rows are sparse, as those of texts are, and too wide for a graph")
    rows = np.asarray(estimator._fit_X, np.float64)
    wide = builder.node("Cast", matrix, to=TensorProto.DOUBLE)
    product = builder.node("MatMul", wide, builder.constant(-2.0 * rows.T, np.float64))
    lengths = builder.constant((rows**2).sum(axis=1), np.float64)
    axis = builder.constant([1], np.int64)
    own = builder.node("ReduceSum", builder.node("Mul", wide, wide), axis, keepdims=1)
    squares = builder.node("Add", builder.node("Add", product, lengths), own)
    count = builder.constant([estimator.n_neighbors], np.int64)
    distances, places = builder.node_of(2, "TopK", squares, count, axis=1, largest=0, sorted=1)
    return distances, places


def _weighted(builder: GraphBuilder, said: str, squares: str) -> str:
    """The mean weighted by the inverse of the distance; rows at no distance count alone."""
    from onnx import TensorProto

    least = builder.constant(_NO_DISTANCE, np.float64)
    same = builder.node("LessOrEqual", squares, least)
    apart = builder.node("Sqrt", builder.node("Max", squares, least))
    inverse = builder.node("Reciprocal", apart)
    alone = builder.node("Cast", same, to=TensorProto.DOUBLE)
    axis = builder.constant([1], np.int64)
    found = builder.node("ReduceMax", alone, axes=[1], keepdims=1)
    weights = builder.node(
        "Where", builder.node("Cast", found, to=TensorProto.BOOL), alone, inverse
    )
    total = builder.node("ReduceSum", weights, axis, keepdims=1)
    weights = builder.node("Div", weights, total)
    column = builder.node("Unsqueeze", weights, builder.constant([2], np.int64))
    return builder.node("ReduceSum", builder.node("Mul", said, column), axis, keepdims=0)


_NO_DISTANCE: Final = 1e-12
"""A squared distance below this is rounding: the row is one of those that were learned."""
