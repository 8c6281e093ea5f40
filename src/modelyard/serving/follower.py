"""The follower: keeps a gateway's snapshot in step with the control plane.

It looks for a new revision several times a second on a thread of its own. Keys and routes that
are already loaded come into force at once; a version that must be loaded joins when it is ready,
and what served before serves until then. When the control plane cannot be reached, the last
snapshot stays in force.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from modelyard.core.clock import Clock
from modelyard.core.errors import ModelyardError
from modelyard.serving.metrics import Metrics
from modelyard.serving.ports import (
    ControlPlane,
    ReplicaOutcome,
    Runtime,
    RuntimeLoader,
    Wanted,
    WantedRoute,
)
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
        self._runtimes: dict[str, Runtime] = {}
        self._failures: dict[str, tuple[str, float]] = {}
        self._serving: Mapping[tuple[str, str], Route] = {}
        self._loading: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._changed = False
        self._published = -1
        self._said: list[ReplicaOutcome] = []
        self._reported = float("-inf")
        self._loaders = ThreadPoolExecutor(1, thread_name_prefix="load")
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
        self._loaders.shutdown(wait=False, cancel_futures=True)
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
        now = self._clock.monotonic()
        for route in wanted.routes:
            version = route.version_id
            with self._lock:
                failed = self._failures.get(version)
                waits = failed is not None and now < failed[1]
                if version in self._runtimes or version in self._loading or waits:
                    continue
                self._loading.add(version)
            self._loaders.submit(self._load, route)

    def _load(self, route: WantedRoute) -> None:
        version = route.version_id
        if not self._is_wanted(version):
            # Wishes have moved on while this one waited for its turn.
            with self._lock:
                self._loading.discard(version)
            return
        try:
            runtime = self._loader.load(route)
        except Exception as error:  # noqa: BLE001 - a file of a stranger's may fail in any way
            known = isinstance(error, ModelyardError)
            reason = str(error) if known else f"loading failed: {type(error).__name__}"
            _log.warning(
                "version does not load",
                extra={"model": route.model, "version": route.version, "reason": reason},
                exc_info=not known,
            )
            with self._lock:
                self._failures[version] = (reason, self._clock.monotonic() + RETRY)
                self._loading.discard(version)
                self._changed = True
        else:
            with self._lock:
                self._runtimes[version] = runtime
                self._failures.pop(version, None)
                self._loading.discard(version)
                self._changed = True
        self._wake.set()

    def _is_wanted(self, version: str) -> bool:
        wanted = self._wanted
        return wanted is not None and any(r.version_id == version for r in wanted.routes)

    def _renew(self, wanted: Wanted) -> None:
        """Publish a snapshot if it would differ from the one in force."""
        with self._lock:
            if not self._changed and wanted.revision == self._published:
                return
            self._changed = False
            routes, failures, loading = {}, {}, set()
            for each in wanted.routes:
                at = (each.tenant_id, each.name)
                route = self._route(each)
                if route is not None:
                    routes[at] = route
                elif each.version_id in self._failures:
                    failures[at] = self._failures[each.version_id][0]
                else:
                    loading.add(at)
            self._serving = routes
            needed = {route.wanted.version_id for route in routes.values()}
            needed |= {route.version_id for route in wanted.routes}
            self._runtimes = {v: r for v, r in self._runtimes.items() if v in needed}
            self._failures = {v: f for v, f in self._failures.items() if v in needed}
            self._published = wanted.revision
            keys = {entry.hash: entry for entry in wanted.keys}
        self._publish(Snapshot(wanted.revision, keys, routes, failures, frozenset(loading)))
        if not loading:
            self.caught_up.set()

    def _route(self, wanted: WantedRoute) -> Route | None:
        """The route at its target version, or as it served before while that is not loaded."""
        present = self._serving.get((wanted.tenant_id, wanted.name))
        if present is not None and present.wanted == wanted:
            return present
        runtime = self._runtimes.get(wanted.version_id)
        if runtime is None:
            same = present is not None and present.wanted.deployment_id == wanted.deployment_id
            return present if same else None
        series = Series(wanted.tenant_id, wanted.name, wanted.model, wanted.version)
        spare = self._inline_seconds - runtime.call_seconds
        inline_rows = int(spare / runtime.row_seconds) if spare > 0 else 0
        return Route.of(wanted, runtime, inline_rows, self._metrics.route(series))

    def _report(self, wanted: Wanted) -> None:
        now = self._clock.monotonic()
        outcomes = []
        for route in wanted.routes:
            serving = self._serving.get((route.tenant_id, route.name))
            failure = self._failures.get(route.version_id)
            if serving is not None and serving.wanted == route:
                outcomes.append(ReplicaOutcome(route.deployment_id, route.version_id))
            elif failure is not None:
                outcomes.append(ReplicaOutcome(route.deployment_id, route.version_id, failure[0]))
        if outcomes == self._said and now < self._reported + REPORT:
            return
        self._control.report(self._gateway_id, self._clock.now(), outcomes)
        self._said, self._reported = outcomes, now
