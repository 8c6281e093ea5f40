"""The usage journal's format on disk: a file of framed records.

    frame := length (u32, little endian) | crc32 of the payload (u32) | payload

The payload is one `PredictionMade` in MessagePack. A process that dies in the middle of a write
leaves at most one broken frame, at the end of its file: whoever reads stops there. Since each
writer starts a file of its own, nothing ever follows a broken frame.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from modelyard.core.events import PredictionMade

SUFFIX: Final = ".journal"
MAX_FRAME: Final = 64 * 1024

_HEAD: Final = struct.Struct("<II")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(PredictionMade).decode


def frame(event: PredictionMade) -> bytes:
    """The event as it is appended to the file."""
    payload = _encode(event)
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def is_torn(rest: bytes) -> bool:
    """Whether `rest`, which begins with no whole frame, is what an interrupted write leaves.

    That is the beginning of a frame, or the zeros that a power cut leaves of it. Anything else
    was whole once, and has been damaged.
    """
    if len(rest) < _HEAD.size or not any(rest):
        return True
    length, _ = _HEAD.unpack_from(rest)
    return bool(length <= MAX_FRAME and len(rest) < _HEAD.size + length)


def unframe(data: bytes) -> Iterator[tuple[int, PredictionMade]]:
    """Each whole record in `data` with the offset just past it; stops at a broken frame."""
    view, at = memoryview(data), 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        # A power cut may leave zeros, which would pass for a record of no bytes: their CRC is 0.
        if not 0 < length <= MAX_FRAME or end > len(data):
            return
        payload = view[at + _HEAD.size : end]
        if zlib.crc32(payload) != checksum:
            return
        try:
            event = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        at = end
        yield at, event
