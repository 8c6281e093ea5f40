"""Whether a file is an ONNX model: a Protocol Buffers message that has no magic number.

The fields of ModelProto are walked over, not read. A file that is cut off within its graph, or
damaged behind it, still counts: its parser then says what is wrong with it.
"""

from __future__ import annotations

from typing import BinaryIO, Final

_VARINT, _LENGTH = 0, 2
_MODEL: Final = {
    1: _VARINT,  # ir_version
    2: _LENGTH,  # producer_name
    3: _LENGTH,  # producer_version
    4: _LENGTH,  # domain
    5: _VARINT,  # model_version
    6: _LENGTH,  # doc_string
    7: _LENGTH,  # graph
    8: _LENGTH,  # opset_import
    14: _LENGTH,  # metadata_props
    20: _LENGTH,  # training_info
    25: _LENGTH,  # functions
    26: _LENGTH,  # configuration
}
_GRAPH: Final = 7
_WITHIN_GRAPH: Final = frozenset({1, 2, 5, 10, 11, 12, 13, 14, 15, 16})
_MAX_FIELDS: Final = 4096
_MAX_VARINT: Final = 10


def is_onnx(file: BinaryIO, size: int) -> bool:
    """Whether the fields up to the graph are those of ModelProto. Moves the file's position."""
    at = 0
    for _ in range(_MAX_FIELDS):
        tag, at = _varint(file, at)
        if tag is None or _MODEL.get(tag >> 3) != tag & 7:
            return False
        value, at = _varint(file, at)
        if value is None:
            return False
        if tag >> 3 == _GRAPH:
            inner, _ = _varint(file, at)
            # An empty graph is one, if a useless one.
            return value == 0 or (
                inner is not None and inner >> 3 in _WITHIN_GRAPH and inner & 7 == _LENGTH
            )
        if tag & 7 == _LENGTH:
            at += value
        if at >= size:
            return False
    return False


def _varint(file: BinaryIO, at: int) -> tuple[int | None, int]:
    file.seek(at)
    value = 0
    for place, byte in enumerate(file.read(_MAX_VARINT)):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    return None, at
