"""Descriptors that come along with frames on a Unix stream socket (unix(7), SCM_RIGHTS).

The kernel keeps them in step with the bytes: a descriptor sent with a frame's first bytes has
arrived when the frame is whole. So descriptors queue up, and each message that has one takes the
first.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from typing import Final

from modelyard.serving.replica.frames import BrokenFrame

MAX_WAITING: Final = 64
"""Most descriptors that may have come without the message that takes them."""

_WIDTH: Final = array.array("i").itemsize
_AT_ONCE: Final = 8


class DescriptorQueue:
    """Descriptors that have come over a socket and were not taken yet."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def receive(self, source: socket.socket, size: int) -> bytes:
        """Like `recv`, and keeps what descriptors came along.

        Raises:
            BrokenFrame: more descriptors than anybody has a use for.
            OSError: as of `recv`.
        """
        data, ancillary, flags, _ = source.recvmsg(
            size, socket.CMSG_SPACE(_AT_ONCE * _WIDTH), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = len(content) - len(content) % _WIDTH
                self._waiting.extend(array.array("i", content[:whole]))
        if flags & socket.MSG_CTRUNC or len(self._waiting) > MAX_WAITING:
            raise BrokenFrame("descriptors came that nobody has asked for")
        return data

    def take(self) -> int:
        """The first one, which is the caller's from now on.

        Raises:
            BrokenFrame: a message that needs one came without.
        """
        if not self._waiting:
            raise BrokenFrame("a message came without the descriptor that belongs to it")
        return self._waiting.popleft()

    def close(self) -> None:
        """Close what nobody has taken."""
        while self._waiting:
            os.close(self._waiting.popleft())
