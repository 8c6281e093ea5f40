"""Tensors as bytes: raw elements, little endian, in row-major order.

BYTES elements are each a length (u32) and that many bytes, of UTF-8 unless they are binary. BF16
is the upper half of an FP32.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype, Tensor

MAX_DIMENSIONS: Final = 16
MAX_VALUES: Final = 1 << 31

Buffer = bytes | memoryview

_LENGTH: Final = struct.Struct("<I")


def from_raw(
    name: str, datatype: Datatype, shape: Sequence[int], raw: memoryview, *, binary: bool = False
) -> Tensor:
    """The tensor in these bytes, without a copy where the datatype allows it. BYTES become `str`,
    or `bytes` if they are `binary`.

    Raises:
        Invalid: not as many bytes as the shape says, or BYTES that do not add up.
    """
    count = count_of(name, shape)
    if datatype is Datatype.BYTES:
        flat: Tensor = _strings(name, raw, binary=binary)
        if count != len(flat):
            raise Invalid(
                f"input '{name}': shape {list(shape)} means {count} elements, "
                f"its bytes hold {len(flat)}"
            )
        return flat.reshape(shape)
    width = 2 if datatype is Datatype.BF16 else NUMPY[datatype].itemsize
    if count * width != len(raw):
        raise Invalid(
            f"input '{name}': shape {list(shape)} of {datatype} means {count * width} bytes, "
            f"got {len(raw)}"
        )
    if datatype is Datatype.BF16:
        halves = np.frombuffer(raw, np.dtype("<u2")).astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    if datatype is Datatype.BOOL and len(raw) and np.frombuffer(raw, np.uint8).max() > 1:
        raise Invalid(f"input '{name}': a BOOL is a byte of 0 or 1")
    tensor = np.frombuffer(raw, NUMPY[datatype]).reshape(shape)
    # Where the elements begin depends on the JSON before them; the runtime wants them aligned.
    return tensor if tensor.flags.aligned else tensor.copy()


def to_raw(tensor: Tensor) -> bytes:
    """The tensor's elements in row-major order."""
    if tensor.dtype.kind != "O":
        return tensor.tobytes()
    parts = []
    for value in tensor.reshape(-1):
        text = value if isinstance(value, bytes) else str(value).encode()
        parts += [_LENGTH.pack(len(text)), text]
    return b"".join(parts)


def text_of(name: str, at: int, element: Buffer) -> str:
    """Element number `at` of the tensor as text. Raises Invalid if it is none."""
    try:
        return str(element, "utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"input '{name}': element {at} is not UTF-8 text") from None


def _strings(name: str, raw: memoryview, *, binary: bool) -> Tensor:
    values: list[str | bytes] = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise Invalid(f"input '{name}': its bytes end within the length of an element")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            raise Invalid(
                f"input '{name}': element {len(values)} says {length} bytes, "
                f"{len(raw) - at} are left"
            )
        element = raw[at : at + length]
        values.append(bytes(element) if binary else text_of(name, len(values), element))
        at += length
    strings = np.empty(len(values), dtype=np.object_)
    strings[:] = values
    return strings


def count_of(name: str, shape: Sequence[int]) -> int:
    """How many values the shape means."""
    if len(shape) > MAX_DIMENSIONS:
        raise Invalid(f"input '{name}': a shape has at most {MAX_DIMENSIONS} dimensions")
    count = most = 1
    for size in shape:
        if size < 0:
            raise Invalid(f"input '{name}': a dimension of its shape is negative")
        count *= size
        # Beside a zero, the others could still be more than any array has.
        most *= size or 1
    if most > MAX_VALUES:
        raise Invalid(f"input '{name}': its shape means more than {MAX_VALUES} values")
    return count
