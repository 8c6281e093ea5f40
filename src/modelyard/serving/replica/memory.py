"""Memory that a gateway shares with a replica: for tensors too large to go through a socket."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterable
from typing import Final

from modelyard.serving.replica.frames import Buffer

WORTHWHILE: Final = 256 << 10
"""Bytes of inputs from which on it costs less than sending them."""

MOST: Final = 256 << 20
"""Bytes of inputs beyond which they are sent all the same."""

KEPT: Final = 8 << 20
"""Bytes of each half that are kept from one call to the next."""

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SharedMemory:
    """The first half is for inputs, the second for outputs. Made by the gateway, and sealed: a
    replica that could make it smaller could kill the gateway with it.

    `descriptor` is to be sent once and closed by `sent`.
    """

    def __init__(self, least: int) -> None:
        self.half = max(1 << (least - 1).bit_length(), WORTHWHILE)
        self.descriptor = os.memfd_create("modelyard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, 2 * self.half)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
            self._map = mmap.mmap(self.descriptor, 2 * self.half)
        except BaseException:
            os.close(self.descriptor)
            raise

    def sent(self) -> None:
        """The descriptor is with the replica; the mapping is all that is needed here."""
        os.close(self.descriptor)
        self.descriptor = -1

    def write(self, parts: Iterable[Buffer]) -> None:
        """Lay the parts in the half of the inputs, one after the other."""
        at = 0
        with memoryview(self._map) as view:
            for part in parts:
                size = memoryview(part).nbytes
                view[at : at + size] = memoryview(part).cast("B")
                at += size

    def read(self, size: int) -> memoryview:
        """A copy of the first `size` bytes of the outputs, which changes no more."""
        return memoryview(self._map[self.half : self.half + size])

    def rest(self) -> None:
        """No call uses it now: give back what only a very large one needs. The size stays, and so
        does the replica's own view of it.
        """
        if self.half > KEPT:
            self._map.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()
        if self.descriptor >= 0:
            self.sent()
