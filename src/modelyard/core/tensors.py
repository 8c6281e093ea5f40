"""Tensors and signatures, in the terms of the Open Inference Protocol v2.

A signature names the tensors that a model takes and gives. A dimension of -1 is free; the first
dimension of every trained model is the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid

Tensor = np.ndarray[Any, np.dtype[Any]]


class Datatype(StrEnum):
    """The element types of the protocol. BYTES holds strings, or any bytes where the tensor is
    `binary`; numpy has no BF16 of its own.
    """

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


NUMPY: Final[Mapping[Datatype, np.dtype[Any]]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(np.object_),
}

_OF_NUMPY: Final = {dtype: datatype for datatype, dtype in NUMPY.items()}


def datatype_of(tensor: Tensor) -> Datatype:
    """The protocol's name for the tensor's element type; any kind of string is BYTES."""
    if tensor.dtype.kind in "OUS":
        return Datatype.BYTES
    try:
        return _OF_NUMPY[tensor.dtype]
    except KeyError:
        raise Invalid(f"a tensor of {tensor.dtype} has no datatype in the protocol") from None


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One named tensor of a signature.

    `columns` names the elements of the last dimension, where they have names (a table's columns,
    or the classes of a probability). `nullable` tensors take a missing value: NaN in floats, the
    empty string in BYTES. The elements of a `binary` tensor of BYTES are no text (a picture's file,
    say): `bytes` in Python, base64 in JSON. An `optional` input may be left out.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    nullable: bool = False
    binary: bool = False
    optional: bool = False

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape may stand here."""
        if len(shape) != len(self.shape):
            return False
        for want, have in zip(self.shape, shape, strict=True):  # noqa: SIM110 - on the hot path
            if want not in (have, -1):
                return False
        return True


class Signature(msgspec.Struct, frozen=True):
    """What a model takes and what it gives, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def check(self, inputs: Mapping[str, Tensor]) -> int:
        """Return the number of rows if `inputs` are exactly what the model takes.

        The rows are the first dimension that the inputs share; a model without a free first
        dimension has one row.

        Raises:
            Invalid: a missing or unknown input, a wrong datatype or shape, or inputs that
                disagree on the number of rows. The message names the input, what came and what
                was expected.
        """
        rows = -1
        for spec in self.inputs:
            tensor = inputs.get(spec.name)
            if tensor is None:
                if spec.optional:
                    continue
                raise Invalid(f"input '{spec.name}' is missing; the model takes {self._names()}")
            if tensor.dtype != NUMPY.get(spec.datatype):
                raise Invalid(
                    f"input '{spec.name}' has datatype {datatype_of(tensor)}, "
                    f"expected {spec.datatype}"
                )
            if not spec.fits(tensor.shape):
                raise Invalid(
                    f"input '{spec.name}' has shape {list(tensor.shape)}, "
                    f"expected {list(spec.shape)} (-1 is any size)"
                )
            if spec.shape and spec.shape[0] == -1:
                if rows not in (-1, tensor.shape[0]):
                    raise Invalid(
                        f"input '{spec.name}' has {tensor.shape[0]} rows, "
                        f"but an earlier input has {rows}"
                    )
                rows = tensor.shape[0]
        if len(inputs) != len(self.inputs):
            known = {spec.name for spec in self.inputs}
            for name in inputs:
                if name not in known:
                    raise self.unknown(name)
        if rows == 0:
            raise Invalid("the request holds no rows")
        return 1 if rows == -1 else rows

    def unknown(self, name: str) -> Invalid:
        """What to say of an input that the model does not take."""
        return Invalid(f"input '{name[:80]}' is unknown; the model takes {self._names()}")

    def _names(self) -> str:
        return ", ".join(f"'{spec.name}'" for spec in self.inputs)
