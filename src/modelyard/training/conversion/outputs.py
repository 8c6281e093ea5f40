"""The end of a graph: outputs in the names, types and shapes of a signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from modelyard.core.tensors import Datatype, Signature
from modelyard.serving.runtimes.answers import own_name
from modelyard.training.conversion.graph import GraphBuilder

if TYPE_CHECKING:
    import onnx

OPSET: Final = 18
ML_OPSET: Final = 3
_IR_VERSION: Final = 8


def give(builder: GraphBuilder, answers: Mapping[str, str], signature: Signature) -> None:
    """Give each output of the signature from the node that answers it."""
    for place, spec in enumerate(signature.outputs):
        source = answers[own_name(spec.name, place, answers)]
        source = builder.node("Cast", source, to=element(spec.datatype))
        if len(spec.shape) == 1:
            source = builder.node("Reshape", source, builder.constant([-1], np.int64))
        builder.output(spec.name, source, element(spec.datatype), ["rows", *spec.shape[1:]])


def element(datatype: Datatype) -> int:
    """ONNX's name for the element type."""
    from onnx import TensorProto

    elements = {
        Datatype.BOOL: TensorProto.BOOL,
        Datatype.FP32: TensorProto.FLOAT,
        Datatype.FP64: TensorProto.DOUBLE,
        Datatype.INT32: TensorProto.INT32,
        Datatype.INT64: TensorProto.INT64,
        Datatype.BYTES: TensorProto.STRING,
    }
    return int(elements[datatype])


def finish(builder: GraphBuilder, others: Sequence[onnx.OperatorSetIdProto] = ()) -> bytes:
    """The model as bytes. `others` are the operator sets that spliced graphs need."""
    from onnx import helper

    needed = {"": OPSET, "ai.onnx.ml": ML_OPSET}
    for one in others:
        needed[one.domain] = max(one.version, needed.get(one.domain, 1))
    opsets = [helper.make_opsetid(domain, version) for domain, version in needed.items()]
    return builder.model(opsets, _IR_VERSION).SerializeToString()
