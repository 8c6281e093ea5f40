"""One inference request from its arrival to its recorded answer.

An edge brings a codec that reads the request and writes the answer in its own protocol; what
happens between is the same for all of them, and so is what is recorded. No coroutine is needed:
a cheap model answers in the call that began the exchange, a dear one by callback.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from modelyard.core.access import Grant
from modelyard.core.errors import DeadlineExceeded, ModelyardError
from modelyard.core.events import GONE, PredictionMade
from modelyard.core.metering import ANSWERED_BELOW, Quantities
from modelyard.core.tensors import Tensor
from modelyard.serving.cache import ResponseCache
from modelyard.serving.limits.limits import KeyLimits, Reservation
from modelyard.serving.limits.line import Standing
from modelyard.serving.ports import Journal
from modelyard.serving.snapshot import Route
from modelyard.serving.tracing import Trace

_log = logging.getLogger(__name__)


class Asked(msgspec.Struct):
    """A request, decoded: inputs by name, the outputs it wants (None: all), its own id, and how
    many seconds it may take, if it says so. `trace` wants to know what becomes of it. `compute` is
    the microseconds that the model took for it, once it has. `name` is what the model was called
    by. `tokens` is the most that its texts may have, where these are counted.
    """

    inputs: dict[str, Tensor]
    outputs: list[str] | None = None
    id: str | None = None
    timeout: float | None = None
    trace: Trace | None = None
    compute: int = 0
    name: str = ""
    tokens: int = 0


class Answer(msgspec.Struct):
    """A request, answered. `status` is HTTP's, `size` is in bytes, `content` is the edge's.
    `prompt_tokens` are those of its texts, where the model counts them. `limits` tells how the
    key's quotas stand, if it has any.
    """

    status: int
    content: Any
    size: int
    prompt_tokens: int = 0
    limits: Sequence[Standing] = ()


class Codec(Protocol):
    """One request in its protocol. Every method may raise a ModelyardError."""

    @property
    def size(self) -> int:
        """The request's size in bytes."""
        ...

    def decode(self, route: Route) -> Asked:
        """Read the request, as the route's signature wants it."""
        ...

    def encode(self, route: Route, asked: Asked, outputs: dict[str, Tensor]) -> Answer:
        """Write the model's outputs."""
        ...

    def fail(self, error: ModelyardError) -> Answer:
        """Write a failure."""
        ...


class Plane(Protocol):
    """The data plane as a request sees it."""

    journal: Journal

    def route(self, grant: Grant, name: str, version: str | None = None) -> Route:
        """The route that the request names. Raises NotFound or Unavailable."""
        ...

    def limits(self, grant: Grant, route: Route) -> KeyLimits | None:
        """What the key may use of the route; None if there are no limits."""
        ...

    def admit(self, route: Route, key_id: str, timeout: float | None) -> None:
        """See whether there is time for a request that is not read yet. Raises Unavailable."""
        ...

    def infer(
        self, route: Route, asked: Asked, rows: int, key_id: str
    ) -> dict[str, Tensor] | asyncio.Future[dict[str, Tensor]]:
        """Run the model on checked inputs, now or later. Raises Invalid or Unavailable."""
        ...


class Done(Protocol):
    """Who gets the answer."""

    def __call__(self, answer: Answer, *, cached: bool) -> None:
        """Take the answer; `cached` says that the model did not run for it."""
        ...


class Exchange:
    """The course of one request. `done` gets the answer once it is recorded, at most once.

    `timeout` is in seconds from here on, and holds unless the request itself says otherwise.
    """

    _answer: Answer
    _pending: asyncio.Future[dict[str, Tensor]] | None = None
    _route: Route | None = None
    _asked: Asked | None = None
    _limits: KeyLimits | None = None
    _reservation: Reservation | None = None
    cached = False
    rows = 0

    def __init__(
        self,
        plane: Plane,
        grant: Grant,
        codec: Codec,
        request_id: str,
        done: Done,
        *,
        timeout: float | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._plane = plane
        self._grant = grant
        self._codec = codec
        self._done = done
        self._timeout = timeout
        self._trace = trace
        self._at = time.time_ns() // 1000
        self._start = time.perf_counter_ns()
        self.id = request_id

    @property
    def waits(self) -> bool:
        """Whether the model has yet to answer."""
        return self._pending is not None

    def begin(self, name: str, version: str | None) -> None:
        """Find the route, read the request, and run the model or queue for it."""
        try:
            self._route = route = self._plane.route(self._grant, name, version)
            route.metrics.begin()
            self._limits = limits = self._plane.limits(self._grant, route)
            if limits is not None:
                limits.check(self._at)
            if not route.inline_rows and route.cache is None:
                self._plane.admit(route, self._grant.key_id, self._timeout)
            self._asked = asked = self._codec.decode(route)
            asked.trace, asked.name = self._trace, name
            self.rows = rows = route.wanted.signature.check(asked.inputs)
            asked.timeout = self._left(asked.timeout)
            if limits is not None:
                self._reservation = limits.reserve(
                    route.wanted.deployment_id, self._at, _most(route, asked, rows)
                )
            if route.cache is None:
                outputs = self._plane.infer(route, asked, rows, self._grant.key_id)
            else:
                outputs = self._outputs(route.cache, route, asked)
            if isinstance(outputs, asyncio.Future):
                self._pending = outputs
                outputs.add_done_callback(lambda pending: self._resume(asked, pending))
                return
            answer = self._codec.encode(route, asked, outputs)
        except Exception as error:  # noqa: BLE001 - told apart in _failed
            answer = self._failed(error)
        self._record(answer)

    def _left(self, timeout: float | None) -> float | None:
        """Seconds that are left of what the request may take; reading it has taken some."""
        if timeout is None:
            timeout = self._timeout
        if timeout is None:
            return None
        left = timeout - (time.perf_counter_ns() - self._start) / 1e9
        if left <= 0:
            raise DeadlineExceeded("the request's time was over before the model had answered")
        return left

    def _outputs(
        self, cache: ResponseCache, route: Route, asked: Asked
    ) -> dict[str, Tensor] | asyncio.Future[dict[str, Tensor]]:
        """From the cache where it has them, else from the model."""
        key = cache.key(self._grant.tenant_id, asked.inputs)
        found = cache.get(key)
        if found is not None:
            self.cached = True
            route.metrics.hit()
            return found
        route.metrics.miss()
        outputs = self._plane.infer(route, asked, self.rows, self._grant.key_id)
        if isinstance(outputs, asyncio.Future):
            outputs.add_done_callback(partial(_keep, cache, key))
        else:
            cache.put(key, outputs)
        return outputs

    def abandon(self) -> None:
        """The client has gone: leave the queue, stop the model if it runs for nobody else."""
        self._done = _nobody
        if self._pending is not None:
            self._pending.cancel()

    def _resume(self, asked: Asked, pending: asyncio.Future[dict[str, Tensor]]) -> None:
        assert self._route is not None  # noqa: S101 - begin() has set it
        self._pending = None
        try:
            answer = self._codec.encode(self._route, asked, pending.result())
        except asyncio.CancelledError:
            self.rows = 0
            answer = Answer(GONE, b"", 0)
        except Exception as error:  # noqa: BLE001 - told apart in _failed
            answer = self._failed(error)
        self._record(answer)

    def _failed(self, error: Exception) -> Answer:
        self.rows = 0
        if isinstance(error, ModelyardError):
            return self._codec.fail(error)
        about = {"request_id": self.id}
        if self._trace is not None:
            about["trace_id"] = self._trace.id
        _log.error("inference failed", exc_info=error, extra=about)
        return self._codec.fail(ModelyardError(f"internal error; request id {self.id}"))

    def _record(self, answer: Answer) -> None:
        """Answer once the journal has the request. A request for nothing leaves no record."""
        route = self._route
        if route is None:
            self._finish(answer)
            return
        duration = (time.perf_counter_ns() - self._start) // 1000
        asked, self._asked = self._asked, None
        wanted, tenant_id = route.wanted, self._grant.tenant_id
        event = PredictionMade(
            self.id,
            self._at,
            tenant_id,
            self._grant.key_id,
            wanted.name,
            wanted.model,
            wanted.version,
            answer.status,
            self.rows,
            self._codec.size,
            answer.size,
            duration,
            self.cached,
            answer.prompt_tokens,
            0,
            0,
            "",
            wanted.deployment_id,
            "" if wanted.tenant_id == tenant_id else wanted.tenant_id,
            0 if asked is None or answer.status >= ANSWERED_BELOW else asked.compute,
        )
        route.metrics.observe(answer.status, duration)
        if answer.prompt_tokens:
            route.metrics.tokens(answer.prompt_tokens, 0, 0)
        if self._reservation is not None:
            self._reservation.settle(event)
        if self._limits is not None:
            answer.limits = self._limits.standing(self._at)
        self._answer = answer
        self._plane.journal.append(event, self._recorded)

    def _recorded(self, error: ModelyardError | None) -> None:
        if error is None:
            self._finish(self._answer)
            return
        # What cannot be recorded is not given away.
        if self._reservation is not None:
            self._reservation.undo()
        self._finish(self._codec.fail(error))

    def _finish(self, answer: Answer) -> None:
        # Whoever is told usually holds this exchange: letting go of it here leaves no cycle, and
        # the tensors are freed without the garbage collector.
        done, self._done = self._done, _nobody
        done(answer, cached=self.cached)
        if self._trace is not None:
            self._tell(self._trace, answer)

    def _tell(self, trace: Trace, answer: Answer) -> None:
        """End the trace, with what the record has too."""
        grant, route = self._grant, self._route
        trace.note(
            {
                "modelyard.request.id": self.id,
                "modelyard.tenant.id": grant.tenant_id,
                "modelyard.key.id": grant.key_id,
            }
        )
        if route is not None:
            trace.note(
                {
                    "modelyard.deployment.name": route.wanted.name,
                    "modelyard.model.name": route.wanted.model,
                    "modelyard.model.version": route.wanted.version,
                    "modelyard.rows": self.rows,
                    "modelyard.cached": self.cached,
                }
            )
        trace.end(answer.status)


def _most(route: Route, asked: Asked, rows: int) -> Quantities:
    """What a request may come to: of the model's time, what such calls have taken, where that was
    measured.
    """
    seconds = route.runtime.call_seconds + rows * route.runtime.row_seconds
    compute = int(seconds * 1e6) if seconds < math.inf else 0
    return Quantities(1, rows, input_tokens=asked.tokens, compute=compute)


def _keep(cache: ResponseCache, key: bytes, pending: asyncio.Future[dict[str, Tensor]]) -> None:
    if not pending.cancelled() and pending.exception() is None:
        cache.put(key, pending.result())


def _nobody(answer: Answer, *, cached: bool) -> None:
    """Where the answer to a client that has gone goes."""
