"""What a child prints: kept in a file up to a bound, read to the end so that it never blocks."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1 << 20
LAST_WORDS: Final = 4096
_CHUNK: Final = 64 * 1024
_PATIENCE: Final = 1.0


class ChildLog:
    """A pipe for a child's stdout and stderr, drained into a file by a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading, self.writing = os.pipe()
        self._tail = b""
        self._thread = threading.Thread(target=self._drain, name="child-log", daemon=True)

    def follow(self) -> None:
        """Close our copy of the writing end, now that the child has its own, and drain."""
        os.close(self.writing)
        self._thread.start()

    def close(self) -> None:
        """Wait shortly for the rest; a process that got away may hold the pipe for longer."""
        self._thread.join(_PATIENCE)

    @property
    def last_words(self) -> str:
        """The end of what was printed."""
        return self._tail.decode(errors="replace")

    def _drain(self) -> None:
        room = MAX_BYTES
        with self._path.open("wb", buffering=0) as file:
            while data := os.read(self._reading, _CHUNK):
                self._tail = (self._tail + data)[-LAST_WORDS:]
                try:
                    file.write(data[:room])
                except OSError:
                    # A full disk costs the log, not the task.
                    room = 0
                room -= min(room, len(data))
        os.close(self._reading)
