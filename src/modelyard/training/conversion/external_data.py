"""Tensors that an ONNX file keeps in other files.

A model that names other files could make a server read any of them, so such models are refused. The
Protocol Buffers encoding is walked here directly (field numbers: onnx.proto), for the package
`onnx` is no part of a server that only serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

# For each message, which fields hold which messages.
_FIELDS: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of the model is kept elsewhere.

    Raises:
        ValueError: this is no Protocol Buffers message.
    """
    waiting: list[tuple[str, memoryview]] = [("model", memoryview(model))]
    while waiting:
        message, data = waiting.pop()
        for number, value in _fields(data):
            if message == "tensor":
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                    return True
            elif isinstance(value, memoryview) and number in _FIELDS[message]:
                waiting.append((_FIELDS[message][number], value))
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > end:
            raise ValueError("a field reaches beyond its message")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number is cut off")
