"""The heads of requests that have been read before.

A client sends the same head again and again; at most the length of the body differs. The same
bytes mean the same, so a head that llhttp has read once is only looked up from then on.
"""

from __future__ import annotations

from typing import Final

import msgspec

from modelyard.api.http import Headers, HttpRequest

MAX_HEAD: Final = 2048
"""Bytes of a head that is kept."""

MAX_HEADS: Final = 1024
"""As many are kept; then it begins anew, so that no client can keep the others' out."""

_END: Final = b"\r\n\r\n"
_OTHERWISE: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""With one of these there is more to do than to read so many bytes."""


class Head(msgspec.Struct, frozen=True):
    """What was read of a head. `announced` bytes of body follow it."""

    method: str
    path: str
    headers: Headers
    announced: int
    keep_alive: bool

    def request(self, body: bytes | memoryview) -> HttpRequest:
        """The request with this body."""
        return HttpRequest(self.method, self.path, self.headers, body)


class KnownHeads:
    """What the connections of a gateway remember together."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def find(self, data: bytes) -> tuple[Head | None, int]:
        """The head that `data` begins with, if it is known and no more follows than its body; and
        where it ends.
        """
        end = data.find(_END) + 4
        head = self._heads.get(data[:end])
        if head is not None and len(data) - end > head.announced:
            head = None
        return head, end

    def learn(self, data: bytes, head: Head, size: int) -> None:
        """The last request of `data` has this head, and `size` bytes of its body came.

        It is kept if that was the only one, and its head is one that means the same each time.
        """
        end = data.find(_END) + 4
        # A head may end otherwise for llhttp: but not if what follows is all of the body.
        if end != len(data) - size or end > MAX_HEAD or not head.keep_alive:
            return
        if _OTHERWISE.isdisjoint(head.headers):
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            self._heads[data[:end]] = head
