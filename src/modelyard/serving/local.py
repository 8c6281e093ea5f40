"""Models that are loaded in the gateway itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from modelyard.serving.ports import Loaded, RouteKey, Runtime, WantedRoute

GROWTH: Final = 2.0
"""Bytes of memory for each byte of a graph, until it is measured."""


class LocalLoader:
    """A `RuntimeLoader` on one thread, one version after the other. Deployments share a version."""

    def __init__(self, load: Callable[[WantedRoute], Runtime]) -> None:
        self._load = load
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    @property
    def memory_bytes(self) -> int:
        """What the versions that are here take, or will."""
        with self._lock:
            return sum(held.memory_bytes for held in self._held.values())

    def holds(self, wanted: WantedRoute) -> bool:
        """Whether the version is here, or about to be."""
        with self._lock:
            return wanted.version_id in self._held

    def load(self, wanted: WantedRoute) -> Future[Loaded]:
        """Load the version, unless it is here already."""
        with self._lock:
            held = self._held.get(wanted.version_id)
            if held is None or held.failed:
                held = _Held(self._pool.submit(self._load, wanted), estimate(wanted))
                self._held[wanted.version_id] = held
            held.users.add(wanted.key)
            # One future for each who asks: none can take it from the others.
            asked: Future[Loaded] = Future()
        held.future.add_done_callback(lambda done: _pass_on(done, asked))
        return asked

    def release(self, key: RouteKey) -> None:
        """Let go of the version when nobody else uses it; it is not loaded if it has not begun."""
        version_id = key.version_id
        with self._lock:
            held = self._held.get(version_id)
            if held is None:
                return
            held.users.discard(key)
            if held.users:
                return
            del self._held[version_id]
        held.future.cancel()

    def close(self) -> None:
        """Load nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Held:
    """A version with those who use it."""

    def __init__(self, future: Future[Runtime], estimated: int) -> None:
        self.future = future
        self.users: set[RouteKey] = set()
        self._estimated = estimated

    @property
    def failed(self) -> bool:
        done = self.future.done()
        return done and (self.future.cancelled() or self.future.exception() is not None)

    @property
    def memory_bytes(self) -> int:
        if self.failed:
            return 0
        if not self.future.done():
            return self._estimated
        return getattr(self.future.result(), "memory_bytes", 0) or self._estimated


def estimate(wanted: WantedRoute) -> int:
    """Bytes that the version will take here: as measured when it was tried, or by its files."""
    if wanted.profile is not None:
        return wanted.profile.memory_bytes
    return round(GROWTH * sum(artifact.size for artifact in wanted.artifacts))


def _pass_on(done: Future[Runtime], to: Future[Loaded]) -> None:
    if done.cancelled():
        to.cancel()
    elif (error := done.exception()) is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())
