"""A language model that says what it is told to, for tests of what lies above engines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.core.errors import ModelyardError
from modelyard.core.tensors import Signature
from modelyard.serving.language.generation import Finish, Generation, Piece, Reason
from modelyard.serving.language.model import SIGNATURE
from modelyard.serving.language.ports import Listener
from modelyard.serving.ports import WantedRoute
from modelyard.serving.slots import Series
from modelyard.serving.snapshot import Route
from tests.dataplane import TENANT, Gateway


class Voice:
    """One generation: a piece a turn of the loop."""

    def __init__(self, speaker: ScriptedSpeaker, listener: Listener) -> None:
        self._speaker = speaker
        self._listener = listener
        self._said = 0
        self.cancelled = False
        asyncio.get_running_loop().call_soon(self._go_on)

    def cancel(self) -> None:
        self.cancelled = True
        self._finish(Reason.CANCELLED)

    def _go_on(self) -> None:
        speaker = self._speaker
        if self.cancelled:
            return
        if self._said == speaker.fails_after and speaker.error is not None:
            self._listener.failed(speaker.error)
        elif self._said == speaker.stalls_after:
            speaker.stalled.set()
        elif self._said < len(speaker.pieces):
            self._listener.piece(speaker.pieces[self._said])
            self._said += 1
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._finish(speaker.reason)

    def _finish(self, reason: Reason) -> None:
        tokens = sum(piece.tokens for piece in self._speaker.pieces[: self._said])
        self._listener.finished(Finish(reason, 7, tokens, self._speaker.cached))


class ScriptedSpeaker:
    """Says its pieces to everybody; may stall or fail after some of them."""

    def __init__(self, *texts: str, reason: Reason = Reason.STOP, cached: int = 0) -> None:
        self.pieces: Sequence[Piece] = [
            Piece(text, prompt=0 if at else 7, cached=0 if at else cached)
            for at, text in enumerate(texts)
        ]
        self.reason = reason
        self.cached = cached
        self.fails_after = self.stalls_after = -1
        self.error: ModelyardError | None = None
        self.refusal: ModelyardError | None = None
        self.stalled = asyncio.Event()
        self.asked: list[Generation] = []
        self.voices: list[Voice] = []
        self.call_seconds = math.inf
        self.row_seconds = 0.0
        self.stackable = False

    def speak(self, asked: Generation, seconds: float, listener: Listener) -> Voice:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(asked)
        self.voices.append(Voice(self, listener))
        return self.voices[-1]


class TalkingGateway(Gateway):
    """A gateway in which `chat` is a language model."""

    def __init__(self, folder: Path, *texts: str, **more: Any) -> None:
        super().__init__(folder)
        self.speaker = ScriptedSpeaker(*texts, **more)
        self.key("k")
        self.talk("chat", self.speaker)

    def talk(self, name: str, speaker: Any, signature: Signature = SIGNATURE) -> None:
        """Serve it under this name."""
        wanted = WantedRoute("dep_1", TENANT, name, "smol", 3, "ver_1", signature, ())
        metrics = self.metrics.route(Series(TENANT, name, "smol", 3))
        self._routes[TENANT, name] = Route.of(wanted, speaker, 0, metrics)
        self.publish()
