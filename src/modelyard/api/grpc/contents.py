"""Typed tensor contents, the form in which a gRPC request may hold elements one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from modelyard.api.grpc.generated.inference_pb2 import InferTensorContents
from modelyard.core.elements import count_of, text_of
from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype, Tensor

_FIELD: Final[Mapping[Datatype, str]] = {
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
    Datatype.BYTES: "bytes_contents",
}


def from_contents(
    name: str,
    datatype: Datatype,
    shape: list[int],
    contents: InferTensorContents,
    *,
    binary: bool = False,
) -> Tensor:
    """The tensor of these elements; BYTES that are `binary` stay what they are.

    Raises:
        Invalid: elements in another field than the datatype's, out of its range, not as many as
            the shape says, or BYTES that are not text.
    """
    count = count_of(name, shape)
    field = _FIELD.get(datatype)
    if field is None:
        raise Invalid(f"input '{name}': {datatype} has no typed contents: send it raw")
    for descriptor, _ in contents.ListFields():
        if descriptor.name != field:
            raise Invalid(
                f"input '{name}': elements of {datatype} belong in {field}, "
                f"not in {descriptor.name}"
            )
    values = getattr(contents, field)
    if len(values) != count:
        raise Invalid(
            f"input '{name}': shape {shape} means {count} values, {field} has {len(values)}"
        )
    if datatype is Datatype.BYTES:
        return _strings(name, values, binary=binary).reshape(shape)
    wide = np.array(values, dtype=_WIDE.get(field, NUMPY[datatype]))
    tensor = wide.astype(NUMPY[datatype], copy=False)
    if tensor is not wide and not np.array_equal(tensor, wide):
        raise Invalid(f"input '{name}': a value is out of range for {datatype}")
    return tensor.reshape(shape)


_WIDE: Final = {
    "int_contents": np.dtype(np.int32),
    "uint_contents": np.dtype(np.uint32),
}


def _strings(name: str, values: list[bytes], *, binary: bool) -> Tensor:
    strings: Tensor = np.empty(len(values), dtype=np.object_)
    for at, value in enumerate(values):
        strings[at] = value if binary else text_of(name, at, value)
    return strings
