"""Ending a model call that is already running."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StopSignal:
    """Set once, from any thread; a running call reacts through what it has registered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._act: Callable[[], None] | None = None
        self.is_set = False

    def set(self) -> None:
        """Ask the call to end."""
        with self._lock:
            self.is_set = True
            if self._act is not None:
                self._act()

    def on_set(self, act: Callable[[], None]) -> None:
        """Have `act` called when the signal is set, or now if it is set already."""
        with self._lock:
            self._act = act
            if self.is_set:
                act()
