"""An ensemble that XGBoost or LightGBM grew, as a graph with the outputs of its signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from modelyard.core.tensors import Datatype, Signature
from modelyard.serving.runtimes.answers import LABEL, PREDICTION, PROBABILITIES
from modelyard.training.conversion.convertible import Graph, NotConvertible
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.outputs import finish, give
from modelyard.training.conversion.trees import LINKS, Ensemble, likeliest, two_columns


def graph_of(ensemble: Ensemble, signature: Signature) -> Graph:
    """A booster's file: a matrix of numbers in, the signature's outputs out.

    Such a file knows its classes by number only.
    """
    from onnx import TensorProto

    (spec,) = signature.inputs if len(signature.inputs) == 1 else (None,)
    if spec is None or spec.datatype is not Datatype.FP32 or len(spec.shape) != 2:
        raise NotConvertible("only models of one matrix of FP32 numbers are converted")
    builder = GraphBuilder([s.name for s in (*signature.inputs, *signature.outputs)])
    matrix = builder.input(spec.name, TensorProto.FLOAT, ("rows", spec.shape[1]))
    shapes = {spec.name: spec.shape for spec in signature.outputs}
    classes = range(shapes[PROBABILITIES][1]) if PROBABILITIES in shapes else ()
    give(builder, answers(builder, ensemble, classes, matrix), signature)
    return Graph(finish(builder))


def answers(
    builder: GraphBuilder, ensemble: Ensemble, classes: Sequence[Any], matrix: str
) -> dict[str, str]:
    """The nodes that hold the model's answers, by the names of ADR 0007.

    `classes` are the labels of a classifier, empty for a regression.
    """
    linked = LINKS[ensemble.link](builder, ensemble.sums(builder, matrix))
    if not classes:
        return {PREDICTION: linked}
    probabilities = linked if len(ensemble.base) > 1 else two_columns(builder, linked)
    label = labelled(builder, likeliest(builder, probabilities), classes)
    return {LABEL: label, PROBABILITIES: probabilities}


def labelled(builder: GraphBuilder, places: str, classes: Sequence[Any]) -> str:
    """The classes at these places."""
    array = np.asarray(classes)
    if array.dtype.kind in "OUS":
        table = builder.strings([str(one) for one in classes])
    elif array.dtype.kind in "iub":
        table = builder.constant(array, np.int64)
    else:
        table = builder.constant(array)
    return builder.node("Gather", table, places, axis=0)


MAX_NODES: Final = 5_000_000


def check_size(nodes: int) -> None:
    """Raises NotConvertible for an ensemble that would make a graph of gigabytes."""
    if nodes > MAX_NODES:
        raise NotConvertible(f"{nodes} nodes of trees; at most {MAX_NODES} are converted")
