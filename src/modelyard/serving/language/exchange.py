"""One request for text from its arrival to its recorded end.

As `serving.exchange` is for tensors: the edge brings a listener that writes its protocol, and what
happens between is the same for all. Text goes out as it comes; the end goes out once the journal
has the request, with the very counts that it was told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from modelyard.core.access import Grant
from modelyard.core.errors import (
    DeadlineExceeded,
    Invalid,
    ModelyardError,
    NotBegun,
    ReplicaDied,
)
from modelyard.core.events import GONE, PredictionMade
from modelyard.serving.language.bounds import bounded, most_generated, most_relayed
from modelyard.serving.language.generation import Generation, Piece, Reason
from modelyard.serving.language.ports import Speaker
from modelyard.serving.language.relayed import Relayed, is_relay
from modelyard.serving.language.voice import Voice
from modelyard.serving.limits.limits import KeyLimits, Reservation
from modelyard.serving.limits.line import Standing
from modelyard.serving.ports import Journal
from modelyard.serving.snapshot import Route

_log = logging.getLogger(__name__)

ESTIMATED: Final = "+estimated"
"""What follows the recorded end of a generation whose tokens nobody has counted."""
CLIENT_GONE: Final = "client_gone"
"""How the end of a generation is recorded whose client went away."""
ENGINE_GONE: Final = "engine_gone"
"""The same where the engine's process ended in the middle."""
DEADLINE: Final = "deadline"
"""The same where its time was over."""
PATIENCE: Final = 1.0
"""Seconds that an engine has to say what it had generated when it was cancelled."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a whole request. `estimated`: nobody has counted them all."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    estimated: bool = False


class Plane(Protocol):
    """The data plane as a request sees it."""

    journal: Journal

    def limits(self, grant: Grant, route: Route) -> KeyLimits | None:
        """What the key may use of the route; None if there are no limits."""
        ...

    def route(self, grant: Grant, name: str, version: str | None = None) -> Route:
        """The route that the request names. Raises NotFound or Unavailable."""
        ...


class Edge(Protocol):
    """Who asked, in its protocol. `index` tells the generations of one request apart."""

    size: int
    """Bytes of the request."""

    @property
    def written(self) -> int:
        """Bytes of the answer so far."""
        ...

    def answered_by(self, name: str) -> None:
        """Somebody else is about to answer, of this name."""
        ...

    def piece(self, index: int, piece: Piece) -> None:
        """More text."""
        ...

    def finished(self, index: int, reason: Reason) -> str:
        """One generation has ended; returns the reason in the words of the protocol."""
        ...

    def ending(self, usage: Usage) -> bytes:
        """What is still to be sent once all have ended and that is recorded."""
        ...

    def end(self, rest: bytes) -> None:
        """It is recorded."""
        ...

    def failed(self, error: ModelyardError) -> int:
        """It has broken off; returns the HTTP status."""
        ...


class TextExchange:
    """The course of one request. `timeout` is the client's own, in seconds."""

    def __init__(
        self,
        plane: Plane,
        grant: Grant,
        edge: Edge,
        request_id: str,
        *,
        timeout: float | None = None,
    ) -> None:
        self.id = request_id
        self._plane = plane
        self._grant = grant
        self._edge: Edge | None = edge
        self._timeout = timeout
        self._route: Route | None = None
        self._voices: list[Voice] = []
        self._limits: KeyLimits | None = None
        self._reservation: Reservation | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._error: ModelyardError | None = None
        self._gone = self._over = False
        self._size, self._written = edge.size, 0
        self._finish = ""
        self._copies = 1
        self._at = time.time_ns() // 1000
        self._start = time.perf_counter_ns()

    def begin(self, route: Route, asked: Sequence[Generation] | Relayed, copies: int = 1) -> None:
        """Begin all generations at once: `copies` of each prompt, one after the other; or have the
        request answered where the route leads.
        """
        self._copies = copies
        self._route = route
        try:
            route.metrics.begin()
            self._limits = limits = self._plane.limits(self._grant, route)
            if limits is not None:
                asked = self._reserve(limits, route, asked)
            limit = route.wanted.options.timeout_ms / 1000
            seconds = limit if self._timeout is None else min(self._timeout, limit)
            if isinstance(asked, Relayed):
                self._relay(route, asked, seconds)
            else:
                self._speak(route, asked, seconds)
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._too_late)
        except Exception as error:  # noqa: BLE001 - told apart in _break_off
            self._break_off(error)

    @property
    def standing(self) -> Sequence[Standing]:
        """How the key's quotas stand, if it has any."""
        return () if self._limits is None else self._limits.standing(self._at)

    def _reserve(
        self, limits: KeyLimits, route: Route, asked: Sequence[Generation] | Relayed
    ) -> Sequence[Generation] | Relayed:
        """Hold back what it may come to; what is asked for then has an end."""
        limits.check(self._at)
        if isinstance(asked, Relayed):
            most = most_relayed(asked)
        else:
            asked = bounded(asked) if limits.bounds_tokens else asked
            most = most_generated(asked, self._copies)
        self._reservation = limits.reserve(route.wanted.deployment_id, self._at, most)
        return asked

    def _speak(self, route: Route, asked: Sequence[Generation], seconds: float) -> None:
        speaker = route.runtime
        if not isinstance(speaker, Speaker):
            raise Invalid(f"deployment '{route.wanted.name}' is no language model")
        tenant, key = self._grant.tenant_id, self._grant.key_id
        for index, each in enumerate(asked):
            voice = Voice(self, index, route.metrics, self._start)
            named = msgspec.structs.replace(each, tenant=tenant, key=key)
            voice.spoken = speaker.speak(named, seconds, voice)
            self._voices.append(voice)

    def _relay(self, route: Route, asked: Relayed, seconds: float) -> None:
        relay = route.runtime
        assert is_relay(relay)  # noqa: S101 - who asks so has looked
        voices = [Voice(self, index, route.metrics, self._start) for index in range(asked.choices)]
        spoken = relay.relay(asked, seconds, voices)
        for voice in voices:
            voice.spoken = spoken
        self._voices = voices

    def abandon(self) -> None:
        """The client has gone: stop generating, and record what was generated."""
        if self._over:
            return
        if self._edge is not None:
            self._written = self._edge.written
        self._gone, self._edge = True, None
        self._cancel_all()

    # What the voices say

    def answered_by(self, name: str) -> None:
        """Tell who answers, to those whose provider it is."""
        ours = self._route is not None and self._route.wanted.tenant_id == self._grant.tenant_id
        if ours and self._edge is not None and self._error is None:
            self._edge.answered_by(name)

    def piece(self, index: int, piece: Piece) -> None:
        """Pass it on."""
        if self._edge is not None and self._error is None:
            self._edge.piece(index, piece)

    def ended(self, voice: Voice, reason: Reason | None) -> None:
        """One has ended; without a reason if it was made to."""
        if self._edge is not None and self._error is None:
            if reason is None:
                # The engine keeps the time, too, and its clock may be ahead of ours.
                self._too_late()
            else:
                self._finish = self._edge.finished(voice.index, reason)
        if all(each.over for each in self._voices):
            self._record()

    def broke(self, error: ModelyardError) -> None:
        """One has broken off, and with it the request."""
        self._break_off(error)

    def _too_late(self) -> None:
        self._break_off(DeadlineExceeded("the request's time is over; what came so far is all"))

    def _break_off(self, error: Exception) -> None:
        if self._over or self._error is not None:
            return
        if not isinstance(error, ModelyardError):
            _log.error("inference failed", exc_info=error, extra={"request_id": self.id})
            error = ModelyardError(f"internal error; request id {self.id}")
        self._error = error
        self._cancel_all()

    def _cancel_all(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        running = [voice for voice in self._voices if not voice.over]
        if not running:
            self._record()
            return
        for voice in running:
            voice.cancel()
        self._alarm = asyncio.get_running_loop().call_later(PATIENCE, self._record)

    # The end

    def _record(self) -> None:
        if self._over:
            return
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()
        usage, status = self._usage(), 200
        route, edge = self._route, self._edge
        if self._gone:
            status, self._finish = GONE, CLIENT_GONE
        elif self._error is not None and edge is not None:
            if not edge.written:
                # What nobody has got anything of is nobody's to pay.
                usage = Usage()
            status, self._finish = edge.failed(self._error), _broken_off(self._error)
        if route is None:
            return
        rest = edge.ending(usage) if edge is not None and self._error is None else b""
        written = self._written if edge is None else edge.written + len(rest)
        duration = (time.perf_counter_ns() - self._start) // 1000
        wanted, tenant_id = route.wanted, self._grant.tenant_id
        route.metrics.observe(status, duration)
        route.metrics.tokens(usage.prompt, usage.cached, usage.completion)
        event = PredictionMade(
            request_id=self.id,
            at=self._at,
            tenant_id=tenant_id,
            key_id=self._grant.key_id,
            deployment=wanted.name,
            model=wanted.model,
            version=wanted.version,
            status=status,
            rows=len(self._voices) if status == 200 else 0,
            bytes_in=self._size,
            bytes_out=written,
            duration=duration,
            prompt_tokens=usage.prompt,
            cached_tokens=usage.cached,
            completion_tokens=usage.completion,
            finish=f"{self._finish}{ESTIMATED if usage.estimated else ''}",
            deployment_id=wanted.deployment_id,
            owner_id="" if wanted.tenant_id == tenant_id else wanted.tenant_id,
        )
        if self._reservation is not None:
            self._reservation.settle(event)
        self._plane.journal.append(event, lambda error: self._recorded(rest, error))

    def _recorded(self, rest: bytes, error: ModelyardError | None) -> None:
        if error is not None and self._reservation is not None:
            self._reservation.undo()
        edge, self._edge = self._edge, None
        if edge is None or self._error is not None:
            return
        if error is None:
            edge.end(rest)
        else:
            edge.failed(error)

    def _usage(self) -> Usage:
        """A prompt counts once, however many answers it has."""
        prompt = cached = 0
        estimated = any(voice.estimated for voice in self._voices)
        for first in range(0, len(self._voices), self._copies):
            voice = max(self._voices[first : first + self._copies], key=lambda each: each.prompt)
            prompt += voice.prompt
            cached += voice.cached
        completion = sum(voice.completion for voice in self._voices)
        return Usage(prompt, cached, completion, estimated)


def _broken_off(error: ModelyardError) -> str:
    """How the end is recorded."""
    if isinstance(error, ReplicaDied | NotBegun):
        return ENGINE_GONE
    return DEADLINE if isinstance(error, DeadlineExceeded) else error.code
