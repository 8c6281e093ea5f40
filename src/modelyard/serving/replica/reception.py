"""What a replica hears: calls of gateways and words of its host, on a thread of its own.

So a cancelled call, a deadline and a new gateway are noticed while the model runs.
"""

from __future__ import annotations

import math
import os
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from typing import Final

from modelyard.core.errors import DeadlineExceeded
from modelyard.core.tensors import Tensor
from modelyard.serving.language.generation import Asker, read_asker
from modelyard.serving.replica.control import FROM_HOST, Order, Serve
from modelyard.serving.replica.descriptors import DescriptorQueue
from modelyard.serving.replica.endpoint import Endpoint
from modelyard.serving.replica.frames import BrokenFrame, FrameReader
from modelyard.serving.replica.messages import Call, Failure
from modelyard.serving.replica.turns import Calls, Line
from modelyard.serving.stopping import StopSignal

CANCELLED: Final = "cancelled"

_CHUNK: Final = 64 * 1024
_NOBODY: Final = Asker()


class Work:
    """A call that has come in, of `asker`. `deadline` is on the monotonic clock; `stop` ends it
    early.
    """

    __slots__ = ("asker", "call", "deadline", "endpoint", "inputs", "stop")

    def __init__(self, endpoint: Endpoint, call: Call, inputs: Mapping[str, Tensor]) -> None:
        self.endpoint = endpoint
        self.call = call
        self.inputs = inputs
        self.asker = read_asker(call.options) if call.options else _NOBODY
        self.stop = StopSignal()
        left = call.milliseconds / 1000
        self.deadline = time.monotonic() + left if left > 0 else math.inf

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self.deadline

    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.stop.is_set or self.late

    def ended(self) -> Failure:
        """What is said of it when it is over."""
        if self.late:
            message = "the request's time was over before it was answered"
            return Failure(self.call.id, DeadlineExceeded.code, message)
        return Failure(self.call.id, CANCELLED, "the call was cancelled")


class Reception:
    """The sockets of a replica. `calls` are where the work waits."""

    def __init__(self, control: socket.socket) -> None:
        self.calls: Calls[Work] = Line()
        self._control = control
        self._words = FrameReader[Order | Serve](FROM_HOST, max_payload=0)
        self._descriptors = DescriptorQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._works: dict[tuple[Endpoint, int], Work] = {}
        self._endpoints: tuple[Endpoint, ...] = ()

    def await_order(self) -> Order:
        """The host's first word.

        Raises:
            BrokenFrame: it is something else.
            OSError: the host is gone.
        """
        while True:
            data = self._descriptors.receive(self._control, _CHUNK)
            if not data:
                raise ConnectionResetError("the host has closed the connection")
            for frame in self._words.feed(data):
                # It waits for the answer before it sends more.
                if isinstance(frame.message, Order):
                    return frame.message
                raise BrokenFrame("the host's first word must be an order")

    def start(self) -> None:
        """Listen, on a thread, until the host is gone: then the process ends."""
        threading.Thread(target=self._run, name="reception", daemon=True).start()

    def done(self, work: Work) -> None:
        """The work has been answered."""
        self.calls.done(work)
        self._works.pop((work.endpoint, work.call.id), None)

    def tell(self) -> None:
        """Send all text that was kept until now."""
        for endpoint in self._endpoints:
            endpoint.tell()

    def _run(self) -> None:
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        try:
            while True:
                for key, events in self._selector.select(self._patience()):
                    if key.fileobj is self._control:
                        self._hear_host()
                    elif key.fileobj == self._wake:
                        self._watch_unsent()
                    else:
                        self._serve(key.data, events)
        finally:
            # Whatever ended this thread: without it the process is of no use to anybody.
            os._exit(1)

    def _patience(self) -> float | None:
        """Seconds until a call's time is over; those whose it is are asked to end."""
        nearest = math.inf
        for work in list(self._works.values()):
            if work.late:
                if not work.stop.is_set:
                    self._stop(work)
            else:
                nearest = min(nearest, work.deadline)
        return None if nearest == math.inf else max(0.0, nearest - time.monotonic())

    def _hear_host(self) -> None:
        data = self._descriptors.receive(self._control, _CHUNK)
        if not data:
            os._exit(0)
        for frame in self._words.feed(data):
            if not isinstance(frame.message, Serve):
                raise BrokenFrame("a replica gets one order")
            channel = socket.socket(fileno=self._descriptors.take())
            endpoint = Endpoint(channel, self._awaken, self._call, self._cancel)
            self._endpoints += (endpoint,)
            self._selector.register(channel, selectors.EVENT_READ, endpoint)

    def _serve(self, endpoint: Endpoint, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE and not endpoint.flush():
                self._selector.modify(endpoint.channel, selectors.EVENT_READ, endpoint)
            if events & selectors.EVENT_READ:
                endpoint.receive()
        except (BrokenFrame, OSError):
            self._selector.unregister(endpoint.channel)
            endpoint.close()
            self._endpoints = tuple(each for each in self._endpoints if each is not endpoint)
            for (whose, _), work in list(self._works.items()):
                if whose is endpoint:
                    self._stop(work)

    def _watch_unsent(self) -> None:
        os.eventfd_read(self._wake)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Endpoint) and key.data.unsent:
                both = selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.modify(key.fileobj, both, key.data)

    def _call(self, endpoint: Endpoint, call: Call, inputs: Mapping[str, Tensor]) -> None:
        if (endpoint, call.id) in self._works:
            raise BrokenFrame(f"call {call.id} comes twice")
        work = self._works[endpoint, call.id] = Work(endpoint, call, inputs)
        self.calls.put(work)

    def _cancel(self, endpoint: Endpoint, call_id: int) -> None:
        work = self._works.get((endpoint, call_id))
        if work is not None:
            self._stop(work)

    def _stop(self, work: Work) -> None:
        """Ask the work to end; if it has not begun, that is its end."""
        work.stop.set()
        if self.calls.leave(work):
            work.endpoint.send(work.ended())
            self._works.pop((work.endpoint, work.call.id), None)

    def _awaken(self) -> None:
        os.eventfd_write(self._wake, 1)
