"""A gateway's end of the socket to a replica of a language model: many calls at a time, each
answered in parts. Nothing is believed unseen.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

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
from modelyard.serving.replica.frames import BrokenFrame, pack
from modelyard.serving.replica.messages import (
    FROM_LANGUAGE_REPLICA,
    Answer,
    Call,
    Cancel,
    Failure,
    Pieces,
)
from modelyard.serving.replica.replica_socket import ReplicaSocket

MAX_TEXT: Final = 1 << 16
"""Characters of one piece of text; a token has a few."""
MAX_COUNT: Final = 1 << 26
_CANCELLED: Final = "cancelled"


class LanguageChannel(ReplicaSocket):
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
        super().__init__(
            sock,
            replica_id,
            kinds=FROM_LANGUAGE_REPLICA,
            max_payload=0,
            patience=patience,
            closed=partial(closed, self),
        )
        self._calls: dict[int, RemoteCall] = {}
        self._number = 0

    def __len__(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    @property
    def busy(self) -> bool:
        """Whether calls are under way."""
        return bool(self._calls)

    def speak(self, asked: bytes, seconds: float, listener: Listener) -> RemoteCall:
        """Begin a generation, as it is written. The listener hears of every end, also of this
        channel's own.
        """
        self._number += 1
        call = RemoteCall(self, self._number, listener)
        if not self._calls:
            self._since = time.monotonic()
        self._calls[call.number] = call
        milliseconds = max(1, round(seconds * 1000))
        self._send(pack(Call(call.number, (), milliseconds, stream=True, options=asked)))
        self._be_patient()
        return call

    def cancel(self, number: int) -> None:
        """Nobody listens any more; the replica says what it had generated."""
        if number in self._calls:
            self._send(pack(Cancel(number)))

    # Receiving

    def _receive(self, data: bytes) -> None:
        self._since = time.monotonic()
        for message, _ in self._reader.feed(data):
            self._take(message)

    def _take(self, message: Answer | Pieces | Failure) -> None:
        """One message. Raises BrokenFrame or Invalid for one that cannot be."""
        if isinstance(message, Pieces):
            for said in message.said:
                self._call(said.id).piece(said.piece)
            return
        call = self._call(message.id)
        if isinstance(message, Failure):
            del self._calls[message.id]
            call.break_off(message)
        elif message.outputs:
            raise BrokenFrame("it sent tensors where text was asked for")
        else:
            finish = call.counted(read_event(message.details))
            del self._calls[message.id]
            call.finish(finish)

    def _call(self, number: int) -> RemoteCall:
        call = self._calls.get(number)
        if call is None:
            raise BrokenFrame("it answered what it was not asked")
        return call

    # Ending

    def _too_late(self) -> str:
        return f"it said nothing for {self._patience:g} seconds"

    def _over(self, tell: Callable[[], None]) -> None:
        calls, self._calls = list(self._calls.values()), {}
        tell()
        for call in calls:
            call.lose()


class RemoteCall:
    """One generation under way at a replica."""

    def __init__(self, channel: LanguageChannel, number: int, listener: Listener) -> None:
        self._channel = channel
        self._listener = listener
        self._tokens = self._prompt = self._cached = 0
        self.number = number

    def cancel(self) -> None:
        """Stop generating."""
        self._channel.cancel(self.number)

    def piece(self, piece: Piece) -> None:
        """More text has come. Raises BrokenFrame for what cannot be."""
        if len(piece.text) > MAX_TEXT or not 0 <= piece.tokens <= MAX_TEXT:
            raise BrokenFrame(f"it sent {len(piece.text)} characters of {piece.tokens} tokens")
        self._tokens += piece.tokens
        if piece.prompt:
            self._prompt, self._cached = _counts(piece)
        self._listener.piece(piece)

    def counted(self, event: Piece | Finish) -> Finish:
        """The end, if what it says of tokens is what has come; else it is not believed.

        Raises:
            BrokenFrame: it is not.
        """
        if isinstance(event, Piece):
            raise BrokenFrame("it went on after the end")
        if event.completion != self._tokens:
            raise BrokenFrame(f"it counted {event.completion} tokens where {self._tokens} came")
        if self._prompt not in (0, _counts(event)[0]):
            raise BrokenFrame(f"it counted {event.prompt} tokens, and {self._prompt} before")
        return event

    def finish(self, finish: Finish) -> None:
        """The end has come."""
        self._listener.finished(finish)

    def break_off(self, failure: Failure) -> None:
        """It has failed."""
        if failure.code == _CANCELLED:
            counts = self._prompt, self._tokens, self._cached
            self._listener.finished(Finish(Reason.CANCELLED, *counts))
        else:
            self._listener.failed(_error(failure))

    def lose(self) -> None:
        """The replica is gone."""
        if self._tokens:
            self._listener.failed(ReplicaDied("the model's process ended in the middle of it"))
        else:
            self._listener.failed(NotBegun("the model's process ended; try again"))


def _counts(event: Piece | Finish) -> tuple[int, int]:
    """Tokens of the prompt, and those of them that were cached. Raises BrokenFrame."""
    if not 0 <= event.cached <= event.prompt <= MAX_COUNT:
        raise BrokenFrame(f"it counted {event.cached} cached tokens of {event.prompt}")
    return event.prompt, event.cached


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
