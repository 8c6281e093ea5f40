"""Large bodies of a known length: from the socket into the memory that the model will read."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import numpy as np

_ALIGNED: Final = 64
"""What ONNX Runtime's widest instructions like to load."""


class LargeBody:
    """A buffer of the body's size; `size` bytes of it have come.

    What lies `offset` bytes into it, where the tensors of a binary request begin, is aligned.
    Memory that nothing arrives for is never touched.
    """

    def __init__(self, size: int, offset: int) -> None:
        memory = np.empty(size + _ALIGNED, np.uint8)
        start = -(memory.ctypes.data + offset) % _ALIGNED
        self._body = memory.data[start : start + size]
        self.size = 0

    def add(self, data: bytes | memoryview) -> None:
        """Take a part that has been read already."""
        end = self.size + len(data)
        self._body[self.size : end] = data
        self.size = end

    def room(self) -> memoryview:
        """Where the rest belongs."""
        return self._body[self.size :]

    def filled(self, count: int) -> bool:
        """So many bytes of the room have arrived; True when that was the last of it."""
        self.size += count
        return self.size == len(self._body)

    @property
    def whole(self) -> memoryview:
        """The body."""
        return self._body


class BodyOwner(Protocol):
    """The connection that the body belongs to."""

    def body_received(self) -> None:
        """The body is whole, and the connection has its transport back."""
        ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class BodyReceiver(asyncio.BufferedProtocol):
    """Has a connection's place until the body is whole."""

    def __init__(self, owner: BodyOwner, body: LargeBody) -> None:
        self._owner = owner
        self._body = body

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._body.room()

    def buffer_updated(self, nbytes: int) -> None:
        if self._body.filled(nbytes):
            self._owner.body_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        self._owner.resume_writing()


def take_over(transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
    """Give the transport another protocol. It asks for the kind of it when it begins to read."""
    transport.pause_reading()
    transport.set_protocol(protocol)
    transport.resume_reading()
