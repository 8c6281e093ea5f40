"""Typed contents, over every datatype and shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelyard.api.grpc.contents import from_contents
from modelyard.api.grpc.generated.inference_pb2 import InferTensorContents
from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype

FIELDS = {
    Datatype.BOOL: "bool_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
}


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Datatype, Any]:
    datatype = draw(st.sampled_from(sorted(FIELDS)))
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    return datatype, draw(arrays.arrays(NUMPY[datatype], shape))


@given(tensors())
def test_every_tensor_comes_as_it_is(drawn: tuple[Datatype, Any]) -> None:
    datatype, tensor = drawn
    contents = InferTensorContents(**{FIELDS[datatype]: tensor.reshape(-1).tolist()})
    came = from_contents("x", datatype, list(tensor.shape), contents)
    assert (came.dtype, came.shape) == (tensor.dtype, tensor.shape)
    assert np.array_equal(came, tensor, equal_nan=tensor.dtype.kind == "f")


@given(st.lists(st.text()))
def test_strings_come_as_they_are(strings: list[str]) -> None:
    contents = InferTensorContents(bytes_contents=[each.encode() for each in strings])
    came = from_contents("x", Datatype.BYTES, [len(strings)], contents)
    assert came.tolist() == strings


@pytest.mark.parametrize(
    ("datatype", "contents", "words"),
    [
        (Datatype.UINT8, {"uint_contents": [300]}, "'x': a value is out of range for UINT8"),
        (Datatype.INT8, {"int_contents": [-129]}, "'x': a value is out of range for INT8"),
        (Datatype.UINT16, {"uint_contents": [1 << 16]}, "out of range for UINT16"),
        (Datatype.INT64, {"int_contents": [1]}, "belong in int64_contents, not in int_contents"),
        (Datatype.FP32, {"fp32_contents": [1], "bool_contents": [True]}, "not in bool_contents"),
        (Datatype.FP32, {"fp32_contents": [1, 2]}, r"'x': shape \[1\] means 1 values"),
        (Datatype.FP32, {}, "fp32_contents has 0"),
        (Datatype.FP16, {"fp32_contents": [1]}, "'x': FP16 has no typed contents: send it raw"),
        (Datatype.BF16, {}, "BF16 has no typed contents"),
        (Datatype.BYTES, {"bytes_contents": [b"\xff"]}, "'x': element 0 is not UTF-8 text"),
    ],
)
def test_what_does_not_fit_is_named(
    datatype: Datatype, contents: dict[str, Any], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        from_contents("x", datatype, [1], InferTensorContents(**contents))
