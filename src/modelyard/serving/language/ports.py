"""A language model as a gateway sees it, wherever its engine runs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from modelyard.core.errors import ModelyardError
from modelyard.serving.language.generation import Finish, Generation, Piece


class Listener(Protocol):
    """Who hears a generation: pieces, then one of the two ends. On the gateway's event loop."""

    def piece(self, piece: Piece) -> None:
        """More text."""
        ...

    def finished(self, finish: Finish) -> None:
        """It has ended, on its own or since it was cancelled."""
        ...

    def failed(self, error: ModelyardError) -> None:
        """It has broken off."""
        ...


class Spoken(Protocol):
    """A generation that is under way."""

    def cancel(self) -> None:
        """Nobody listens any more; the end is still told, with what was generated until then."""
        ...


@runtime_checkable
class Speaker(Protocol):
    """A runtime that generates text. Lives on one event loop."""

    def speak(self, asked: Generation, seconds: float, listener: Listener) -> Spoken:
        """Begin a generation that may take so many seconds. The listener hears nothing before
        this has returned.

        Raises:
            Unavailable: not now; too many wait already, or there is nobody to run it.
        """
        ...
