"""Where a version is loaded: in the gateway, in processes of its own, or nowhere here."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import Final

from modelyard.core.trust import Trust
from modelyard.serving.local import LocalLoader, estimate
from modelyard.serving.ports import Loaded, RouteKey, RuntimeLoader, WantedRoute

UPSTREAM: Final = "upstream"
"""The format of what runs elsewhere."""


class PlacingLoader:
    """A `RuntimeLoader` that gives each version to one of three others.

    To `upstreams` goes what only names models that run elsewhere. In the gateway is what can
    neither run code nor crash it, as long as it fits into `inline_memory_bytes` together with what
    is there already, and nobody has asked for replicas. All else goes to the `engine`. A version
    stays where it is as long as that is so.
    """

    def __init__(
        self,
        local: LocalLoader,
        engine: RuntimeLoader,
        upstreams: RuntimeLoader,
        inline_memory_bytes: int,
    ) -> None:
        self._local = local
        self._engine = engine
        self._upstreams = upstreams
        self._budget = inline_memory_bytes
        self._places: dict[RouteKey, RuntimeLoader] = {}
        self._lock = threading.Lock()

    def load(self, wanted: WantedRoute) -> Future[Loaded]:
        """Load it where it belongs."""
        place = self._place(wanted)
        with self._lock:
            before = self._places.get(wanted.key, place)
            self._places[wanted.key] = place
        future = place.load(wanted)
        if before is not place:
            future.add_done_callback(partial(self._moved, before, wanted.key))
        return future

    def release(self, key: RouteKey) -> None:
        """Let go of it, wherever it is."""
        with self._lock:
            place = self._places.pop(key, None)
        if place is not None:
            place.release(key)

    def close(self) -> None:
        """Close all places."""
        self._local.close()
        self._engine.close()
        self._upstreams.close()

    def _place(self, wanted: WantedRoute) -> RuntimeLoader:
        if wanted.format == UPSTREAM:
            return self._upstreams
        return self._local if self._belongs_here(wanted) else self._engine

    def _belongs_here(self, wanted: WantedRoute) -> bool:
        if wanted.trust not in (Trust.INLINE, None) or wanted.options.replicas is not None:
            return False
        if self._local.holds(wanted):
            return True
        # What has no artifacts is loaded nowhere: the local loader says why.
        return self._local.memory_bytes + estimate(wanted) <= self._budget

    @staticmethod
    def _moved(before: RuntimeLoader, key: RouteKey, loaded: Future[Loaded]) -> None:
        """It is not asked where it was any more, once it answers where it is."""
        if not loaded.cancelled() and loaded.exception() is None:
            before.release(key)
