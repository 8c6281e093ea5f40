"""Put on Triton's path, for the interpreter inside its wheel.

That one is an early 3.11 whose RLock has no `_recursion_count`, while it reads the standard
library of the environment, where `multiprocessing.resource_tracker` asks for it.
"""

from __future__ import annotations

import threading
from types import TracebackType


class CountedLock:
    """An RLock that knows how often its owner holds it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._count = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count -= 1
        self._lock.release()

    def _recursion_count(self) -> int:
        return self._count


if not hasattr(threading.RLock(), "_recursion_count"):
    from multiprocessing import resource_tracker

    vars(resource_tracker)["_resource_tracker"]._lock = CountedLock()
