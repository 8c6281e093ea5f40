"""A gateway's end of the socket to one replica: frames out, frames in, patience, and the end."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from modelyard.core.errors import Invalid
from modelyard.serving.replica.frames import BrokenFrame, Buffer, FrameReader

_CHUNK: Final = 1 << 16
_MOST_BUFFERS: Final = 512


class ReplicaSocket:
    """Lives on one event loop. `closed` is told once that it is over, and what the replica did
    wrong: empty if nothing.

    A subclass says what is under way (`busy`), takes what comes (`_receive`) and fails what was
    under way (`_over`). From a call on it keeps `_since` and has `_be_patient` called: `patience`
    seconds after that the replica has ended. It may send messages of these `kinds`, none with more
    than `max_payload` bytes.
    """

    def __init__(
        self,
        sock: socket.socket,
        replica_id: str,
        *,
        kinds: Iterable[type[Any]],
        max_payload: int,
        patience: float,
        closed: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self.replica_id = replica_id
        self._sock = sock
        self._patience = patience
        self._closed: Callable[[str], None] | None = closed
        self._loop = asyncio.get_running_loop()
        self._reader: FrameReader[Any] = FrameReader(kinds, max_payload)
        self._out: list[memoryview] = []
        self._since = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def busy(self) -> bool:
        """Whether a call is under way; it may be one that nobody waits for any more."""
        raise NotImplementedError

    @property
    def open(self) -> bool:
        """Whether calls can be made."""
        return self._closed is not None

    def close(self) -> None:
        """End it; what is under way fails."""
        self._end("")

    # For a subclass to say

    def _receive(self, data: bytes) -> None:
        """Take what has come. Raises BrokenFrame or Invalid for what cannot be."""
        raise NotImplementedError

    def _over(self, tell: Callable[[], None]) -> None:
        """Fail what was under way, and have `closed` told by `tell`, before that or after."""
        raise NotImplementedError

    def _too_late(self) -> str:
        """What the replica did wrong when patience has come to its end."""
        raise NotImplementedError

    # Sending

    def _send(self, buffers: Iterable[Buffer]) -> None:
        waiting = bool(self._out)
        self._out += [memoryview(each).cast("B") for each in buffers if len(each)]
        if not waiting and self.open:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                sent = self._sock.sendmsg(self._out[:_MOST_BUFFERS])
                while sent:
                    first = self._out[0]
                    if sent < first.nbytes:
                        self._out[0] = first[sent:]
                        break
                    sent -= first.nbytes
                    del self._out[0]
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        except OSError:
            # Its end is read, too; whoever made the call holds it by then.
            self._loop.call_soon(self._end, "")

    def _writable(self) -> None:
        self._loop.remove_writer(self._sock.fileno())
        self._flush()

    # Receiving

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end("")
            return
        try:
            self._receive(data)
        except (BrokenFrame, Invalid) as error:
            self._end(error.message)

    # Ending

    def _be_patient(self) -> None:
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._patience, self._lose_patience)

    def _lose_patience(self) -> None:
        self._alarm = None
        if not self.busy:
            return
        left = self._since + self._patience - time.monotonic()
        if left <= 0:
            self._end(self._too_late())
        else:
            self._alarm = self._loop.call_later(left, self._lose_patience)

    def _end(self, wrong: str) -> None:
        closed, self._closed = self._closed, None
        if closed is None:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._out.clear()
        self._over(partial(closed, wrong))
