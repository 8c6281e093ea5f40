"""Inference without a word of protocol: every edge calls this.

It knows the keys and routes in force and runs each model where that costs least. The course of a
request is told in `exchange`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from modelyard.core.access import Grant
from modelyard.core.clock import Clock
from modelyard.core.errors import Forbidden, NotFound
from modelyard.serving.admission import Admission
from modelyard.serving.batch import Outputs
from modelyard.serving.batcher import Batcher
from modelyard.serving.exchange import Asked
from modelyard.serving.limits.limits import KeyLimits, Limits
from modelyard.serving.limits.ports import Allowances, Use
from modelyard.serving.ports import Journal
from modelyard.serving.runner import Runner, ThreadRunner
from modelyard.serving.snapshot import Route, Snapshot
from modelyard.serving.tracing import INFERENCE

LET_GO: Final = 1.0
"""Seconds after which it is looked again whether a route that has gone is still in use."""


class InferenceService:
    """The data plane of one gateway. Lives on one event loop.

    `hash_key` turns a presented key into the hash under which it is known.
    """

    def __init__(
        self,
        clock: Clock,
        hash_key: Callable[[bytes], bytes],
        journal: Journal,
        *,
        threads: int,
        allowances: Allowances,
    ) -> None:
        self.journal = journal
        self._allowances = allowances
        self._limits = Limits((), {}, allowances, clock.monotonic)
        self._clock = clock
        self._hash_key = hash_key
        self._snapshot = Snapshot()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._queues: dict[int, _Queue] = {}
        self._loop = asyncio.get_running_loop()
        self._draining = False

    @property
    def ready(self) -> bool:
        """Whether this gateway knows its keys and routes and is not on its way out."""
        return self._snapshot.revision >= 0 and not self._draining

    @property
    def draining(self) -> bool:
        """Whether this gateway is on its way out."""
        return self._draining

    def publish(self, snapshot: Snapshot) -> None:
        """Put a new snapshot in force. May be called from any thread."""
        self._limits = Limits(
            snapshot.quotas, snapshot.rates, self._allowances, self._clock.monotonic
        )
        self._snapshot = snapshot
        self._loop.call_soon_threadsafe(self._let_go)

    def drain(self) -> None:
        """Say 'not ready' from now on, while requests are still answered."""
        self._draining = True

    def grant(self, secret: bytes) -> Grant | None:
        """What a presented key stands for; None for one that is not in force."""
        entry = self._snapshot.key(secret, self._hash_key)
        if entry is None:
            return None
        if entry.expires_at is not None and entry.expires_at <= self._clock.now():
            return None
        return entry.grant

    def limits(self, grant: Grant, route: Route) -> KeyLimits | None:
        """What the key may use of the route; None if there are no limits."""
        return self._limits.of(grant, route.wanted.tenant_id, route.wanted.name)

    def use(self, quota_id: str) -> Use | None:
        """What is used of a quota at present; None of one that is not in force here."""
        return self._limits.use(quota_id, time.time_ns() // 1000)

    def routes(self, grant: Grant) -> dict[str, Route]:
        """The routes that the key may call, by the names that it calls them by, in order."""
        mine = {
            name: route
            for (tenant, name), route in self._snapshot.routes.items()
            if tenant == grant.tenant_id and grant.reaches(name)
        }
        return dict(sorted(mine.items()))

    def missing(self, grant: Grant) -> dict[str, str | None]:
        """The deployments that do not serve, and why; None of those that load."""
        missing = self._snapshot.missing(grant.tenant_id)
        return {name: reason for name, reason in missing.items() if grant.reaches(name)}

    def route(self, grant: Grant, name: str, version: str | None = None) -> Route:
        """The route that a request names.

        Raises:
            Forbidden: the key is bound to other deployments.
            NotFound: no such deployment for this tenant, or it serves another version.
            Unavailable: it does not serve, or not yet.
        """
        if grant.deployments is not None and name not in grant.deployments:
            raise Forbidden(f"this key is bound to deployments that '{name[:80]}' is not among")
        route = self._snapshot.route(grant.tenant_id, name)
        if version is not None and version != str(route.wanted.version):
            raise NotFound(
                f"deployment '{name[:80]}' serves version {route.wanted.version}, "
                f"not '{version[:20]}'"
            )
        return route

    def wake(self, route: Route) -> None:
        """Have a model of replicas loaded that has none at present. Does not wait for it."""
        if isinstance(route.runtime, Runner):
            route.runtime.wake()

    def admit(self, route: Route, key_id: str, timeout: float | None) -> None:
        """Refuse a request that would not be answered in time, by what is known before it is read.

        Raises:
            Unavailable: too much waits before it.
        """
        waiting = self._queues.get(id(route))
        if waiting is not None:
            waiting.admission.check(key_id, _seconds(route, timeout))

    def infer(
        self, route: Route, asked: Asked, rows: int, key_id: str
    ) -> Outputs | asyncio.Future[Outputs]:
        """Run the model on checked inputs: here and now if that is cheap, else in its queue.

        Raises:
            Invalid: the model refuses the inputs.
            Unavailable: the queue is full, or too long for the time that there is.
            Poisonous: the same inputs have killed the model before.
        """
        inline = route.inline
        if inline is not None and rows <= route.inline_rows:
            began = time.monotonic_ns()
            outputs = inline.infer(asked.inputs)
            ended = time.monotonic_ns()
            asked.compute = (ended - began) // 1000
            route.metrics.ran(rows, asked.compute)
            if asked.trace is not None:
                asked.trace.part(
                    INFERENCE, began / 1e9, ended / 1e9, {"modelyard.batch.rows": rows}
                )
            return outputs
        queue, seconds = self._queue(route), _seconds(route, asked.timeout)
        queue.admission.check(key_id, seconds)
        answer = queue.batcher.submit(asked.inputs, rows, seconds, asked.trace, asked)
        queue.admission.enter(key_id, answer)
        return answer

    def _queue(self, route: Route) -> _Queue:
        """The queue of the route."""
        queue = self._queues.get(id(route))
        if queue is None:
            batcher = Batcher(self._runner(route), route.wanted.options, route.metrics)
            queue = _Queue(route, batcher, Admission(batcher))
            # As long as the route is held here, no other has its id.
            self._queues[id(route)] = queue
        return queue

    def _runner(self, route: Route) -> Runner:
        if route.inline is not None:
            return ThreadRunner(route.inline, self._pool)
        assert isinstance(route.runtime, Runner)  # noqa: S101 - a loader makes no third kind
        return route.runtime

    def _let_go(self) -> None:
        """Forget the queues of routes that are in force no more, once they have answered."""
        current = {id(route) for route in self._snapshot.routes.values()}
        gone = [key for key in self._queues if key not in current]
        for key in gone:
            if self._queues[key].batcher.idle:
                del self._queues[key]
        if any(key in self._queues for key in gone):
            self._loop.call_later(LET_GO, self._let_go)

    def close(self) -> None:
        """Refuse what waits, stop what runs, and let go of the threads and of what is held."""
        for queue in self._queues.values():
            queue.batcher.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._allowances.close()


class _Queue(NamedTuple):
    """What a route's requests go through that are not answered at once."""

    route: Route
    batcher: Batcher
    admission: Admission


def _seconds(route: Route, timeout: float | None) -> float:
    """How long a request may take: as its client says, but no longer than the deployment."""
    limit = route.wanted.options.timeout_ms / 1000
    return limit if timeout is None else min(timeout, limit)
