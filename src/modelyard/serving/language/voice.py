"""One generation of a request as it is heard: what came of it, and how fast."""

from __future__ import annotations

import time
from typing import Protocol

from modelyard.core.errors import ModelyardError
from modelyard.serving.language.generation import Finish, Piece, Reason
from modelyard.serving.language.ports import Spoken
from modelyard.serving.slots import RouteMetrics


class Hearer(Protocol):
    """The request."""

    def answered_by(self, name: str) -> None:
        """Somebody else is about to answer, of this name."""
        ...

    def piece(self, index: int, piece: Piece) -> None:
        """More of a generation."""
        ...

    def ended(self, voice: Voice, reason: Reason | None) -> None:
        """A generation has ended; without a reason if it was made to."""
        ...

    def broke(self, error: ModelyardError) -> None:
        """A generation has broken off."""
        ...


class Voice:
    """Passes on what it hears. The counts are by what has come, until the engine says. `start` is
    when the request came, in nanoseconds of `time.perf_counter_ns`.
    """

    def __init__(self, hearer: Hearer, index: int, metrics: RouteMetrics, start: int) -> None:
        self._hearer = hearer
        self._metrics = metrics
        self._last = start
        self._begun = False
        self.index = index
        self.spoken: Spoken | None = None
        self.over = False
        self.prompt = self.cached = self.completion = 0
        self.estimated = False

    def answered_by(self, name: str) -> None:
        """Who answers."""
        self._hearer.answered_by(name)

    def piece(self, piece: Piece) -> None:
        """More text."""
        self.completion += piece.tokens
        if piece.prompt:
            self.prompt, self.cached = piece.prompt, piece.cached
        now = time.perf_counter_ns()
        if self._begun:
            self._metrics.next_tokens(piece.tokens, (now - self._last) // 1000)
        else:
            self._begun = True
            self._metrics.first_token((now - self._last) // 1000)
        self._last = now
        self._hearer.piece(self.index, piece)

    def finished(self, finish: Finish) -> None:
        """The end, with its counts."""
        self.over = True
        self._count(finish)
        cancelled = finish.reason is Reason.CANCELLED
        self._hearer.ended(self, None if cancelled else finish.reason)

    def broke_off(self, error: ModelyardError, so_far: Finish) -> None:
        """The end, in the middle of an answer of which somebody has counted what came."""
        self._count(so_far)
        self.failed(error)

    def failed(self, error: ModelyardError) -> None:
        """The end, since something has failed."""
        self.over = True
        self._hearer.broke(error)
        self._hearer.ended(self, None)

    def _count(self, finish: Finish) -> None:
        self.prompt, self.cached = finish.prompt, finish.cached
        self.completion, self.estimated = finish.completion, finish.estimated

    def cancel(self) -> None:
        """Nobody listens any more."""
        if self.spoken is not None:
            self.spoken.cancel()
