"""A gateway's end of the socket to a replica of a language model: many calls at a time, each
answered in parts. Nothing is believed unseen.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from modelyard.core.errors import (
    DeadlineExceeded,
    Invalid,
    ModelFailed,
    ModelyardError,
    NotBegun,
    ReplicaDied,
)
from modelyard.serving.language.generation import (
    ContextOverflow,
    Finish,
    Piece,
    Reason,
    read_event,
)
from modelyard.serving.language.ports import Listener
from modelyard.serving.replica.answers import said
from modelyard.serving.replica.frames import BrokenFrame, FrameReader, pack
from modelyard.serving.replica.messages import FROM_REPLICA, Answer, Call, Cancel, Failure, Part

MAX_TEXT: Final = 1 << 16
"""Characters of one piece of text; a token has a few."""
MAX_COUNT: Final = 1 << 26
_CHUNK: Final = 1 << 16
_CANCELLED: Final = "cancelled"


class LanguageChannel:
    """Lives on one event loop. `closed` is told once that it is over, and what the replica did
    wrong: empty if nothing. A replica that says nothing for `patience` seconds has ended.
    """

    def __init__(
        self,
        sock: socket.socket,
        replica_id: str,
        patience: float,
        closed: Callable[[LanguageChannel, str], None],
    ) -> None:
        sock.setblocking(False)
        self.replica_id = replica_id
        self._sock = sock
        self._patience = patience
        self._closed: Callable[[LanguageChannel, str], None] | None = closed
        self._reader: FrameReader[Any] = FrameReader(FROM_REPLICA, 0)
        self._out = bytearray()
        self._calls: dict[int, RemoteCall] = {}
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._readable)

    def __len__(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    def speak(self, asked: bytes, seconds: float, listener: Listener) -> RemoteCall:
        """Begin a generation, as it is written. The listener hears of every end, also of this
        channel's own.
        """
        self._number += 1
        call = RemoteCall(self, self._number, listener)
        if not self._calls:
            self._heard = self._loop.time()
        self._calls[call.number] = call
        milliseconds = max(1, round(seconds * 1000))
        self._send(Call(call.number, (), milliseconds, stream=True, options=asked))
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._patience, self._look)
        return call

    def cancel(self, number: int) -> None:
        """Nobody listens any more; the replica says what it had generated."""
        if number in self._calls:
            self._send(Cancel(number))

    def close(self) -> None:
        """End it; what is under way breaks off."""
        self._end("")

    # Sending

    def _send(self, message: Call | Cancel) -> None:
        waiting = bool(self._out)
        for buffer in pack(message):
            self._out += buffer
        if not waiting and self._closed is not None:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                sent = self._sock.send(self._out)
                del self._out[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        except OSError:
            # Whoever made the call holds it by then.
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
        self._heard = self._loop.time()
        try:
            for message, _ in self._reader.feed(data):
                self._take(message)
        except (BrokenFrame, Invalid) as error:
            self._end(error.message)

    def _take(self, message: Answer | Part | Failure) -> None:
        """One message. Raises BrokenFrame or Invalid for one that cannot be."""
        call = self._calls.get(message.id)
        if call is None:
            raise BrokenFrame("it answered what it was not asked")
        if isinstance(message, Failure):
            del self._calls[message.id]
            call.break_off(message)
        elif message.outputs:
            raise BrokenFrame("it sent tensors where text was asked for")
        elif isinstance(message, Part):
            call.piece(read_event(message.details))
        else:
            finish = call.counted(read_event(message.details))
            del self._calls[message.id]
            call.finish(finish)

    # Ending

    def _look(self) -> None:
        self._alarm = None
        if not self._calls:
            return
        left = self._heard + self._patience - self._loop.time()
        if left <= 0:
            self._end(f"it said nothing for {self._patience:g} seconds")
        else:
            self._alarm = self._loop.call_later(left, self._look)

    def _end(self, wrong: str) -> None:
        closed, self._closed = self._closed, None
        if closed is None:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        if self._alarm is not None:
            self._alarm.cancel()
        calls, self._calls = list(self._calls.values()), {}
        closed(self, wrong)
        for call in calls:
            call.lose()


class RemoteCall:
    """One generation under way at a replica."""

    def __init__(self, channel: LanguageChannel, number: int, listener: Listener) -> None:
        self._channel = channel
        self._listener = listener
        self._tokens = 0
        self.number = number

    def cancel(self) -> None:
        """Stop generating."""
        self._channel.cancel(self.number)

    def piece(self, event: Piece | Finish) -> None:
        """A part has come. Raises BrokenFrame for one that cannot be."""
        if isinstance(event, Finish):
            raise BrokenFrame("it ended an answer in its middle")
        if len(event.text) > MAX_TEXT or not 0 <= event.tokens <= MAX_TEXT:
            raise BrokenFrame(f"it sent {len(event.text)} characters of {event.tokens} tokens")
        self._tokens += event.tokens
        self._listener.piece(event)

    def counted(self, event: Piece | Finish) -> Finish:
        """The end, if what it says of tokens is what has come; else it is not believed.

        Raises:
            BrokenFrame: it is not.
        """
        if isinstance(event, Piece):
            raise BrokenFrame("it went on after the end")
        if event.completion != self._tokens or not 0 <= event.cached <= event.prompt <= MAX_COUNT:
            raise BrokenFrame(f"it counted {event.completion} tokens where {self._tokens} came")
        return event

    def finish(self, finish: Finish) -> None:
        """The end has come."""
        self._listener.finished(finish)

    def break_off(self, failure: Failure) -> None:
        """It has failed."""
        if failure.code == _CANCELLED:
            self._listener.finished(Finish(Reason.CANCELLED, 0, self._tokens))
        else:
            self._listener.failed(_error(failure))

    def lose(self) -> None:
        """The replica is gone."""
        if self._tokens:
            self._listener.failed(ReplicaDied("the model's process ended in the middle of it"))
        else:
            self._listener.failed(NotBegun("the model's process ended; try again"))


def _error(failure: Failure) -> ModelyardError:
    """A replica's failure as an error of ours: it has no say in what kind that is, beyond whose
    fault it was.
    """
    message = said(failure.message)
    if failure.code == ContextOverflow.code:
        return ContextOverflow(message)
    if failure.code == Invalid.code:
        return Invalid(message)
    if failure.code == DeadlineExceeded.code:
        return DeadlineExceeded("the request's time was over before the model had answered")
    return ModelFailed(f"the model failed: {message}")
