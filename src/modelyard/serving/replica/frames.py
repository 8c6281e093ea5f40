"""Frames: how messages are cut out of a stream between two of our processes.

A frame is two lengths (u32, little endian), a header and a payload. The header is a message in
MessagePack, the payload holds raw tensors. Nothing on the wire can execute code. The reader trusts
nobody: a length over its bound, or a header that is no message of the expected kinds, ends the
conversation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from modelyard.core.errors import ModelyardError

MAX_HEADER: Final = 1 << 20
_LENGTHS: Final = struct.Struct("<II")

Buffer = bytes | bytearray | memoryview
M = TypeVar("M")


class BrokenFrame(ModelyardError):
    """The other side does not keep to the protocol; nothing that it says can be used."""

    code = "broken_frame"


class Frame(NamedTuple, Generic[M]):
    """A message and the bytes that came with it. The payload is the receiver's own copy."""

    message: M
    payload: memoryview


_encode: Final = msgspec.msgpack.Encoder().encode


def pack(message: msgspec.Struct, payload: Sequence[Buffer] = ()) -> list[Buffer]:
    """The frame as buffers to be written one after the other; the payload is not copied.

    Raises:
        ValueError: the payload is over what a frame can hold (4 GiB).
    """
    header = _encode(message)
    size = sum(memoryview(part).nbytes for part in payload)
    if len(header) > MAX_HEADER or size >= 1 << 32:
        raise ValueError(f"a frame of {len(header)} + {size} bytes is too large")
    return [_LENGTHS.pack(len(header), size) + header, *payload]


class FrameReader(Generic[M]):
    """Cuts frames out of what is fed to it. `kinds` are the messages that the other side may send.

    `max_payload` bounds the payload of one frame in bytes.
    """

    def __init__(self, kinds: Iterable[type[M]], max_payload: int) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_union(kinds))
        self._max_payload = max_payload
        self._buffer = bytearray()
        self._wanted = _LENGTHS.size

    def feed(self, data: Buffer) -> list[Frame[M]]:
        """The frames that are whole now.

        Raises:
            BrokenFrame: what came is no frame of ours; the stream cannot be used any more.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= self._wanted:
            frame = self._next()
            if frame is not None:
                frames.append(frame)
        return frames

    def _next(self) -> Frame[M] | None:
        header, payload = _LENGTHS.unpack_from(self._buffer)
        if header > MAX_HEADER or payload > self._max_payload:
            raise BrokenFrame(
                f"a frame of {header} + {payload} bytes is over {MAX_HEADER} + {self._max_payload}"
            )
        size = _LENGTHS.size + header + payload
        if len(self._buffer) < size:
            self._wanted = size
            return None
        whole, self._buffer = self._buffer, self._buffer[size:]
        self._wanted = _LENGTHS.size
        view = memoryview(whole)[_LENGTHS.size : size]
        try:
            message = self._decoder.decode(view[:header])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BrokenFrame(f"a frame's header is no message of ours: {error}") from None
        return Frame(message, view[header:])


def _union(kinds: Iterable[type[Any]]) -> Any:
    union: Any = None
    for kind in kinds:
        union = kind if union is None else union | kind
    return union
