"""A conversation in frames over a Unix socket, with descriptors, on an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

import msgspec

from modelyard.serving.replica.descriptors import DescriptorQueue
from modelyard.serving.replica.frames import BrokenFrame, FrameReader, pack

_CHUNK: Final = 64 * 1024
MAX_UNSENT: Final = 4096
"""Messages that may wait for the other side to read; with more it counts as gone."""

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=msgspec.Struct)


class FrameConnection(Generic[M]):
    """One side of the conversation. It is used on its loop alone, which need not be asyncio's own.

    `kinds` are the messages that may come; those in `with_descriptor` each bring one descriptor.
    `on_message` gets every message and the descriptor that came with it, which is then its to
    close. `on_lost` is called once, however it ends, unless `close` was called before. Without
    `with_descriptor` the kernel closes whatever descriptors the other side may send.
    """

    def __init__(
        self,
        connection: socket.socket,
        kinds: Iterable[type[M]],
        on_message: Callable[[M, int | None], None],
        on_lost: Callable[[str], None],
        with_descriptor: tuple[type[M], ...] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._reader = FrameReader(kinds, max_payload=0)
        self._descriptors = DescriptorQueue()
        self._with_descriptor = with_descriptor
        self._on_message = on_message
        self._on_lost = on_lost
        self._unsent: deque[tuple[memoryview, int | None]] = deque()
        self.closed = False
        connection.setblocking(False)
        self._loop.add_reader(connection.fileno(), self._readable)

    def send(self, message: msgspec.Struct, descriptor: int | None = None) -> None:
        """Send the message, and with it the descriptor, which is closed here when it has gone.

        Nothing happens if the conversation is over; `on_lost` has told, or will.
        """
        if self.closed:
            _close(descriptor)
            return
        (frame,) = pack(message)
        self._unsent.append((memoryview(frame), descriptor))
        if len(self._unsent) == 1:
            self._write()
        elif len(self._unsent) > MAX_UNSENT:
            self._lose("it does not read what it is sent")

    def close(self) -> None:
        """End the conversation. What was not sent is not sent any more."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._descriptors.close()
        for _, descriptor in self._unsent:
            _close(descriptor)
        self._unsent.clear()

    def _lose(self, reason: str) -> None:
        if not self.closed:
            self.close()
            # Not from within `send`: whoever sends need not expect it.
            self._loop.call_soon(self._on_lost, reason)

    def _readable(self) -> None:
        try:
            data = self._receive()
            if not data:
                self._lose("it has closed the connection")
                return
            for frame in self._reader.feed(data):
                message = frame.message
                descriptor = None
                if isinstance(message, self._with_descriptor):
                    descriptor = self._descriptors.take()
                self._on_message(message, descriptor)
                if self.closed:
                    return
        except (BlockingIOError, InterruptedError):
            return
        except BrokenFrame as error:
            self._lose(str(error))
        except OSError as error:
            self._lose(error.strerror or str(error))

    def _receive(self) -> bytes:
        if self._with_descriptor:
            return self._descriptors.receive(self._socket, _CHUNK)
        return self._socket.recv(_CHUNK)

    def _write(self) -> None:
        try:
            while self._unsent:
                frame, descriptor = self._unsent[0]
                sent = self._send(frame, descriptor)
                # The descriptor has gone with the first byte.
                _close(descriptor)
                self._unsent[0] = (frame[sent:], None)
                if sent == len(frame):
                    self._unsent.popleft()
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._socket.fileno(), self._write)
            return
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        self._loop.remove_writer(self._socket.fileno())

    def _send(self, frame: memoryview, descriptor: int | None) -> int:
        if descriptor is None:
            return self._socket.send(frame)
        return socket.send_fds(self._socket, [frame], [descriptor])


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
