"""The follower: keeps a gateway's snapshot in step with the control plane.

It looks for a new revision several times a second on a thread of its own. Keys and routes that
are already loaded come into force at once; a version that must be loaded joins when it is ready,
and what served before serves until then. When the control plane cannot be reached, the last
snapshot stays in force.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future
from functools import partial
from typing import Final, NamedTuple

import msgspec

from modelyard.core.clock import Clock
from modelyard.core.errors import ModelyardError
from modelyard.serving.metrics import Metrics
from modelyard.serving.ports import (
    ControlPlane,
    Loaded,
    ReplicaOutcome,
    RouteKey,
    RuntimeLoader,
    Wanted,
    WantedRoute,
)
from modelyard.serving.runner import Runner
from modelyard.serving.slots import Series
from modelyard.serving.snapshot import Route, Snapshot

_log = logging.getLogger(__name__)

LOOK: Final = 0.2
"""Seconds between looks at the revision: with it, a revoked key is refused within a second."""

REPORT: Final = 2.0
"""Seconds between reports when nothing has changed."""

RETRY: Final = 15.0
"""Seconds until a version that could not be loaded is tried again."""


class Follower:
    """Owns the current snapshot. `publish` is called with each new one, on a thread."""

    def __init__(
        self,
        gateway_id: str,
        control: ControlPlane,
        loader: RuntimeLoader,
        metrics: Metrics,
        clock: Clock,
        publish: Callable[[Snapshot], None],
        *,
        inline_seconds: float,
    ) -> None:
        self._gateway_id = gateway_id
        self._control = control
        self._loader = loader
        self._metrics = metrics
        self._clock = clock
        self._publish = publish
        self._inline_seconds = inline_seconds
        self._wanted: Wanted | None = None
        self._asked: dict[RouteKey, WantedRoute] = {}
        self._loaded: dict[RouteKey, Loaded] = {}
        self._remote: dict[RouteKey, Runner] = {}
        self._broken: dict[RouteKey, str] = {}
        self._failures: dict[RouteKey, _Failure] = {}
        self._serving: Mapping[tuple[str, str], Route] = {}
        self._loading: set[RouteKey] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._changed = False
        self._published = -1
        self._said: list[ReplicaOutcome] = []
        self._reported = float("-inf")
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.caught_up = threading.Event()
        """Set once a snapshot is in force in which no route is still loading."""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following and take leave of the control plane."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=5)
        try:
            self._control.leave(self._gateway_id)
        except Exception:  # noqa: BLE001 - the process stops either way
            _log.warning("could not take leave of the control plane", exc_info=True)

    def _run(self) -> None:
        away = False
        while not self._stopping:
            try:
                self._look()
                if away:
                    _log.info("the control plane is back")
                away = False
            except Exception as error:  # noqa: BLE001
                # Whatever is wrong with the control plane, the data plane serves on.
                if not away:
                    _log.warning("the control plane is away", extra={"error": str(error)})
                away = True
            self._wake.wait(LOOK)
            self._wake.clear()

    def _look(self) -> None:
        revision = self._control.revision()
        if self._wanted is None or revision != self._wanted.revision:
            wanted = self._control.wanted()
            with self._lock:
                self._wanted = wanted
        if self._wanted is not None:
            self._load_missing(self._wanted)
            self._renew(self._wanted)
            self._report(self._wanted)

    def _load_missing(self, wanted: Wanted) -> None:
        """Have loaded what is new, what has other options, and what is to be tried again."""
        now = self._clock.monotonic()
        for route in wanted.routes:
            key = route.key
            with self._lock:
                failure = self._failures.get(key)
                again = failure is not None and now >= failure.retry_at
                if (self._asked.get(key) == route and not again) or key in self._loading:
                    continue
                self._asked[key] = route
                self._loading.add(key)
            future = self._loader.load(route)
            future.add_done_callback(partial(self._finished, route))

    def _finished(self, route: WantedRoute, future: Future[Loaded]) -> None:
        key = route.key
        error = None if future.cancelled() else future.exception()
        reason = "" if error is None else _reason(route, error)
        with self._lock:
            self._loading.discard(key)
            self._changed = True
            if error is not None:
                retry_at = self._clock.monotonic() + RETRY
                self._failures[key] = _Failure(reason, route.generation, retry_at)
            elif future.cancelled() or key not in self._asked:
                # Wishes have moved on. If they come back to it, it is asked for anew.
                self._asked.pop(key, None)
            else:
                self._loaded[key] = runtime = future.result()
                self._failures.pop(key, None)
                self._remote.pop(key, None)
                if isinstance(runtime, Runner):
                    self._remote[key] = runtime
        self._wake.set()

    def _renew(self, wanted: Wanted) -> None:
        """Publish a snapshot if it would differ from the one in force."""
        with self._lock:
            broken = {key: r.failure for key, r in self._remote.items() if r.failure}
            self._changed |= broken != self._broken
            self._broken = broken
            if not self._changed and wanted.revision == self._published:
                return
            self._changed = False
            routes: dict[tuple[str, str], Route] = {}
            failures: dict[tuple[str, str], str] = {}
            loading: set[tuple[str, str]] = set()
            for each in wanted.routes:
                at = (each.tenant_id, each.name)
                route = self._route(each)
                if route is not None and route.wanted.key in broken:
                    failures[at] = broken[route.wanted.key]
                elif route is not None:
                    routes[at] = route
                elif each.key in self._failures:
                    failures[at] = self._failures[each.key].reason
                else:
                    loading.add(at)
            self._serving = routes.copy()
            _name_for_others(wanted, routes, failures, loading)
            gone = self._forget({r.wanted.key for r in routes.values()}, wanted)
            self._published = wanted.revision
            keys = {entry.hash: entry for entry in wanted.keys}
        self._publish(
            Snapshot(
                wanted.revision,
                keys,
                routes,
                failures,
                frozenset(loading),
                quotas=wanted.quotas,
                rates=wanted.rates,
            )
        )
        if not loading:
            self.caught_up.set()
        # Only now does no request begin with what has gone.
        for key in gone:
            self._loader.release(key)

    def _forget(self, serving: Set[RouteKey], wanted: Wanted) -> list[RouteKey]:
        """Forget what is neither wanted nor serves; returns what that is."""
        needed = serving | {route.key for route in wanted.routes}
        gone = [key for key in self._asked if key not in needed]
        for key in gone:
            del self._asked[key]
            for each in (self._loaded, self._remote, self._failures):
                each.pop(key, None)
        return gone

    def _route(self, wanted: WantedRoute) -> Route | None:
        """The route at its target version, or as it served before while that is not loaded."""
        present = self._serving.get((wanted.tenant_id, wanted.name))
        runtime = self._loaded.get(wanted.key)
        if runtime is None:
            same = present is not None and present.wanted.deployment_id == wanted.deployment_id
            return present if same else None
        if present is not None and present.wanted == wanted and present.runtime is runtime:
            return present
        series = Series(wanted.tenant_id, wanted.name, wanted.model, wanted.version)
        spare = self._inline_seconds - runtime.call_seconds
        inline_rows = int(spare / runtime.row_seconds) if spare > 0 else 0
        return Route.of(wanted, runtime, inline_rows, self._metrics.route(series))

    def _report(self, wanted: Wanted) -> None:
        now = self._clock.monotonic()
        outcomes = []
        for route in wanted.routes:
            serving = self._serving.get((route.tenant_id, route.name))
            at = (*route.key[:2], route.generation)
            if serving is not None and serving.wanted == route:
                remote = self._remote.get(route.key)
                count = None if remote is None else remote.replicas
                outcomes.append(ReplicaOutcome(*at, replicas=count))
            elif reason := self._reason_against(route):
                outcomes.append(ReplicaOutcome(*at, reason))
        # Replicas come and go; that can wait for the next report.
        news = [msgspec.structs.replace(outcome, replicas=None) for outcome in outcomes]
        if news == self._said and now < self._reported + REPORT:
            return
        self._control.report(self._gateway_id, self._clock.now(), outcomes)
        self._said, self._reported = news, now

    def _reason_against(self, route: WantedRoute) -> str:
        """Why a route is not served; empty while that is not known of the spec as it is now."""
        with self._lock:
            failure = self._failures.get(route.key)
            if failure is not None and failure.generation == route.generation:
                return failure.reason
            return "" if route.key in self._loading else self._broken.get(route.key, "")


class _Failure(NamedTuple):
    """Why a version does not load as a generation of the spec wants it, and when to try again."""

    reason: str
    generation: int
    retry_at: float


def _name_for_others(
    wanted: Wanted,
    routes: dict[tuple[str, str], Route],
    failures: dict[tuple[str, str], str],
    loading: set[tuple[str, str]],
) -> None:
    """Add the names by which tenants call each other's deployments: the same routes. What a tenant
    has deployed itself goes before.
    """
    own = {(each.tenant_id, each.name) for each in wanted.routes}
    published = {each.deployment_id: (each.tenant_id, each.name) for each in wanted.routes}
    for each in wanted.subscriptions:
        at, there = (each.tenant_id, each.name), published.get(each.deployment_id)
        if there is None or at in own:
            continue
        if there in routes:
            routes[at] = routes[there]
        elif there in loading:
            loading.add(at)
        else:
            # Why is its publisher's business.
            failures[at] = "its publisher's deployment has failed"


def _reason(route: WantedRoute, error: BaseException) -> str:
    """Why it does not load, for a person to read; the log has the rest."""
    known = isinstance(error, ModelyardError)
    reason = str(error) if known else f"loading failed: {type(error).__name__}"
    _log.warning(
        "version does not load",
        extra={"model": route.model, "version": route.version, "reason": reason},
        exc_info=None if known else error,
    )
    return reason
