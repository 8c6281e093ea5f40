"""JSON tensors to numpy and back, as the Open Inference Protocol v2 writes them.

`data` is flat or nested in row-major order. Numbers are held to their datatype: a number out of
range is an error, never a wrap. JSON has no NaN and no infinity: a nullable float tensor takes
`null` for a missing value, and an output that is not finite is written as `null`.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import orjson

from modelyard.core.elements import count_of
from modelyard.core.errors import Invalid
from modelyard.core.tensors import NUMPY, Datatype, Tensor

_FLOATS: Final = frozenset({Datatype.FP32, Datatype.FP64})
_BINARY_ONLY: Final = frozenset({Datatype.FP16, Datatype.BF16})

_FORMATS: Final[Mapping[Datatype, str]] = {
    Datatype.BOOL: "?",
    Datatype.UINT8: "B",
    Datatype.UINT16: "H",
    Datatype.UINT32: "I",
    Datatype.UINT64: "Q",
    Datatype.INT8: "b",
    Datatype.INT16: "h",
    Datatype.INT32: "i",
    Datatype.INT64: "q",
    Datatype.FP32: "f",
    Datatype.FP64: "d",
}
"""Of the `struct` module, which packs numbers in their standard sizes."""

_decode_floats: Final = msgspec.json.Decoder(list[float]).decode
_decode_integers: Final = msgspec.json.Decoder(list[int]).decode
_decode_booleans: Final = msgspec.json.Decoder(list[bool]).decode
_decode_strings: Final = msgspec.json.Decoder(list[str]).decode
_decode_anything: Final = msgspec.json.Decoder().decode


def decode_tensor(
    name: str,
    datatype: Datatype,
    shape: list[int],
    data: msgspec.Raw | list[Any],
    *,
    nullable: bool = False,
) -> Tensor:
    """The tensor that the request describes. Data that is read already is flat and of the right
    kind.

    Raises:
        Invalid: wrong kind of values, out of range, ragged, or not as many as the shape says.
            The message names the tensor.
    """
    count = count_of(name, shape)
    flat = data
    if not isinstance(flat, list):
        flat = _read(name, datatype, shape, flat, nullable=nullable)
    if len(flat) != count:
        raise Invalid(f"input '{name}': shape {shape} means {count} values, data has {len(flat)}")
    return to_array(name, datatype, flat).reshape(shape)


def _read(
    name: str, datatype: Datatype, shape: list[int], data: msgspec.Raw, *, nullable: bool
) -> list[Any]:
    try:
        return _decoder(datatype)(data)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        # Nested, null or wrong: the slow way tells which.
        return _flatten(name, datatype, _parse(name, data), shape, nullable=nullable)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(f"input '{name}': data is not valid JSON") from None


def to_array(name: str, datatype: Datatype, flat: Sequence[Any]) -> Tensor:
    """A flat tensor of values that are already of the right kind.

    Raises:
        Invalid: a number that the datatype does not hold.
    """
    if datatype is Datatype.BYTES:
        strings = np.empty(len(flat), dtype=np.object_)
        strings[:] = flat
        return strings
    try:
        # Half the time of np.array(), and it refuses what does not fit.
        packed = struct.pack(f"<{len(flat)}{_FORMATS[datatype]}", *flat)
    except (struct.error, OverflowError):
        raise Invalid(f"input '{name}': a value is out of range for {datatype}") from None
    return np.frombuffer(packed, NUMPY[datatype])


def encode_data(tensor: Tensor) -> bytes:
    """The tensor's elements as one flat JSON list."""
    flat = tensor.reshape(-1)
    if flat.dtype.kind == "O":
        return orjson.dumps([_text(value) for value in flat])
    # reshape() of a tensor with gaps copies it, so this one has none.
    return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_rows(tensor: Tensor) -> bytes:
    """The tensor's elements as JSON lists nested like its shape."""
    if tensor.dtype.kind != "O":
        return orjson.dumps(np.ascontiguousarray(tensor), option=orjson.OPT_SERIALIZE_NUMPY)
    if tensor.ndim <= 1:
        return encode_data(tensor)
    return b"[" + b",".join(encode_rows(row) for row in tensor) + b"]"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value)


def _decoder(datatype: Datatype) -> Any:
    if datatype in _FLOATS:
        return _decode_floats
    if datatype is Datatype.BYTES:
        return _decode_strings
    if datatype is Datatype.BOOL:
        return _decode_booleans
    if datatype in _BINARY_ONLY:
        raise Invalid(f"datatype {datatype} has no JSON form: send it as binary tensor data")
    return _decode_integers


def _parse(name: str, data: msgspec.Raw) -> list[Any]:
    try:
        value = _decode_anything(data)
    except msgspec.ValidationError:
        raise Invalid(f"input '{name}': a number is out of range") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(f"input '{name}': data is not valid JSON, or nested too deeply") from None
    if not isinstance(value, list):
        raise Invalid(f"input '{name}': data must be a list, not {kind_of(value)}")
    return value


def _flatten(
    name: str, datatype: Datatype, data: list[Any], shape: list[int], *, nullable: bool
) -> list[Any]:
    if data and isinstance(data[0], list):
        flat: list[Any] = []
        _walk(name, data, shape, 0, flat)
    else:
        flat = data
    return [check_value(name, datatype, value, nullable=nullable) for value in flat]


def _walk(name: str, data: Any, shape: list[int], depth: int, flat: list[Any]) -> None:
    if depth == len(shape):
        if isinstance(data, list):
            raise Invalid(f"input '{name}': data is nested deeper than its shape {shape}")
        flat.append(data)
        return
    if not isinstance(data, list) or len(data) != shape[depth]:
        found = f"{len(data)} elements" if isinstance(data, list) else kind_of(data)
        raise Invalid(
            f"input '{name}': nested data does not follow shape {shape}: "
            f"expected a list of {shape[depth]} at depth {depth}, got {found}"
        )
    for item in data:
        _walk(name, item, shape, depth + 1, flat)


def check_value(name: str, datatype: Datatype, value: Any, *, nullable: bool) -> Any:
    """One JSON value as an element of the datatype.

    Raises:
        Invalid: a value of another kind, or null where none is allowed.
    """
    if value is None and nullable:
        if datatype in _FLOATS:
            return math.nan
        if datatype is Datatype.BYTES:
            return ""
    fits = (
        isinstance(value, str)
        if datatype is Datatype.BYTES
        else isinstance(value, bool)
        if datatype is Datatype.BOOL
        else isinstance(value, int | float) and not isinstance(value, bool)
        if datatype in _FLOATS
        else isinstance(value, int) and not isinstance(value, bool)
    )
    if not fits:
        raise Invalid(f"input '{name}': {kind_of(value)} where {datatype} is expected")
    return value


def kind_of(value: Any) -> str:
    """The JSON kind of a value, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"
