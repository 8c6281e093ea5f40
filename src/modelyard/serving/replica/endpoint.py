"""A replica's end of a channel: calls come in, answers go out.

The reception reads and flushes, on its thread; answers are sent on the model's thread.
"""

from __future__ import annotations

import mmap
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Tensor
from modelyard.serving.language.generation import Piece
from modelyard.serving.replica.descriptors import DescriptorQueue
from modelyard.serving.replica.frames import BrokenFrame, Buffer, Frame, FrameReader, pack
from modelyard.serving.replica.messages import (
    FROM_GATEWAY,
    Answer,
    Call,
    Cancel,
    Part,
    Pieces,
    Said,
    Share,
    lay_out,
    read_tensors,
)

MAX_PAYLOAD: Final = 1 << 31
_CHUNK: Final = 256 * 1024
_MOST_UNSENT: Final = 8 << 20
_MOST_BUFFERS: Final = 512


class Endpoint:
    """One gateway's channel. `wake` asks the reception to look at what is unsent.

    `on_call` gets each call with its inputs, `on_cancel` the number of one that nobody waits for.
    """

    def __init__(
        self,
        channel: socket.socket,
        wake: Callable[[], None],
        on_call: Callable[[Endpoint, Call, Mapping[str, Tensor]], None],
        on_cancel: Callable[[Endpoint, int], None],
    ) -> None:
        channel.setblocking(False)
        self.channel = channel
        self._wake = wake
        self._on_call = on_call
        self._on_cancel = on_cancel
        self._reader = FrameReader[Call | Cancel | Share](FROM_GATEWAY, MAX_PAYLOAD)
        self._descriptors = DescriptorQueue()
        self._shared: memoryview | None = None
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._said: list[Said] = []
        self._room = threading.Condition()
        self.closed = False

    def receive(self) -> None:
        """Take in what has come.

        Raises:
            BrokenFrame: the gateway does not keep to the protocol.
            OSError: the channel has ended.
        """
        try:
            data = self._descriptors.receive(self.channel, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            raise ConnectionResetError("the gateway has closed the channel")
        for frame in self._reader.feed(data):
            self._take(frame)

    def _take(self, frame: Frame[Call | Cancel | Share]) -> None:
        message = frame.message
        if isinstance(message, Call):
            try:
                inputs = read_tensors(message.inputs, self._inputs(message, frame.payload))
            except Invalid as error:
                raise BrokenFrame(str(error)) from None
            self._on_call(self, message, inputs)
        elif isinstance(message, Cancel):
            self._on_cancel(self, message.id)
        else:
            self._share(message.size)

    def _inputs(self, call: Call, payload: memoryview) -> memoryview:
        if not call.shared:
            return payload
        if self._shared is None:
            raise BrokenFrame("a call's inputs are said to be shared, and no memory is")
        size = sum(head.size for head in call.inputs)
        half = self._shared.nbytes // 2
        if not 0 <= size <= half:
            raise BrokenFrame(f"{size} bytes of inputs do not fit into {half} that are shared")
        return self._shared[:size]

    def _share(self, size: int) -> None:
        descriptor = self._descriptors.take()
        try:
            # Views of an earlier memory keep it mapped for as long as somebody has them.
            self._shared = memoryview(mmap.mmap(descriptor, size))
        except (OSError, ValueError) as error:
            raise BrokenFrame(f"the shared memory cannot be mapped: {error}") from None
        finally:
            os.close(descriptor)

    def answer(
        self, call: Call, outputs: Mapping[str, Tensor], micros: int, details: bytes = b""
    ) -> None:
        """Send the end of a call, its outputs the way that its inputs came.

        Raises:
            Invalid: an output is nothing that the protocol can carry.
        """
        heads, payload = lay_out(outputs)
        if call.shared and self._shared is not None:
            half = self._shared.nbytes // 2
            area = self._shared[half:]
            size = sum(head.size for head in heads)
            if size <= half:
                at = 0
                for part in payload:
                    area[at : at + part.nbytes] = part
                    at += part.nbytes
                self.send(Answer(call.id, heads, micros, True, details))
                return
        self.send(Answer(call.id, heads, micros, False, details), payload)

    def say(self, call: Call, piece: Piece) -> None:
        """Keep more of a call's text, to go out with what the others say: see `tell`."""
        with self._room:
            self._said.append(Said(call.id, piece))

    def tell(self) -> None:
        """Send the text that was kept. Nobody waits for room: it is no more than what the calls of
        this gateway come to, and who has given them to the engine cannot stop it for one of them.
        """
        self.send(None)

    def part(self, call: Call, outputs: Mapping[str, Tensor], details: bytes = b"") -> None:
        """Send a part of a streamed answer; waits while the gateway does not read."""
        heads, payload = lay_out(outputs)
        with self._room:
            self._room.wait_for(lambda: self.closed or self._unsent_bytes < _MOST_UNSENT)
        self.send(Part(call.id, heads, details), payload)

    def send(self, message: msgspec.Struct | None, payload: list[memoryview] | None = None) -> None:
        """Send the text that was kept and a message, if there is one, or as much of them as the
        channel takes now; the reception does the rest.

        Nothing happens if the channel has ended.
        """
        frame = [] if message is None else pack(message, payload or ())
        with self._room:
            said, self._said = self._said, []
            if self.closed or not (said or frame):
                return
            if said:
                frame = [*pack(Pieces(tuple(said))), *frame]
            if self._unsent:
                self._keep(frame)
            else:
                self._write(deque(memoryview(buffer).cast("B") for buffer in frame))
            unsent = bool(self._unsent)
        if unsent:
            self._wake()

    def flush(self) -> bool:
        """Send on what is unsent; returns whether something still is."""
        with self._room:
            if not self.closed:
                unsent, self._unsent, self._unsent_bytes = self._unsent, deque(), 0
                self._write(unsent)
                self._room.notify_all()
            return bool(self._unsent)

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._unsent)

    def _write(self, buffers: deque[memoryview]) -> None:
        try:
            while buffers:
                some = [buffers[at] for at in range(min(len(buffers), _MOST_BUFFERS))]
                sent = self.channel.sendmsg(some)
                while buffers and sent >= buffers[0].nbytes:
                    sent -= buffers.popleft().nbytes
                if sent:
                    buffers[0] = buffers[0][sent:]
        except (BlockingIOError, InterruptedError):
            self._keep(buffers)
        except OSError:
            # The reception sees the same when it reads, and closes.
            return

    def _keep(self, buffers: list[Buffer] | deque[memoryview]) -> None:
        """Put a copy aside: the model may use its memory for the next answer."""
        for buffer in buffers:
            copy = memoryview(bytes(buffer))
            self._unsent.append(copy)
            self._unsent_bytes += copy.nbytes

    def close(self) -> None:
        """End the channel; whoever waits for room to send is let go."""
        with self._room:
            self.closed = True
            self._unsent.clear()
            self._room.notify_all()
        self._descriptors.close()
        self.channel.close()
