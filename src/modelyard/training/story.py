"""A running job's story, thinned to what a database should keep."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

from modelyard.core.tasks import Progress

MAX_BATCH: Final = 50
MAX_LINES: Final = 2000
"""Of one attempt; after these only the newest line of each batch is kept."""


class Story:
    """Collects lines from one thread and gives them out in batches to another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[Progress] = deque(maxlen=10 * MAX_BATCH)
        self._given = 0

    def add(self, lines: Iterable[Progress]) -> None:
        """Keep the lines until they are taken; the oldest fall out when nobody takes them."""
        with self._lock:
            self._lines.extend(lines)

    def take(self) -> list[Progress]:
        """The lines since the last call: at most `MAX_BATCH`, those with data before the rest."""
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
        most = MAX_BATCH if self._given < MAX_LINES else 1
        if len(lines) > most:
            newest_first = range(len(lines) - 1, -1, -1)
            ranked = sorted(newest_first, key=lambda index: not lines[index].data)
            lines = [lines[index] for index in sorted(ranked[:most])]
        self._given += len(lines)
        return lines

    def put_back(self, lines: list[Progress]) -> None:
        """Return a batch that could not be stored."""
        with self._lock:
            self._lines.extendleft(reversed(lines))
        self._given -= len(lines)
