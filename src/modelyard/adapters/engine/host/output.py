"""What a replica prints: read to the end so that it never blocks, and forgotten but for the end."""

from __future__ import annotations

import asyncio
import os
from typing import Final

_CHUNK: Final = 64 * 1024
_TAIL: Final = 4096
_PAUSE: Final = 0.05
"""Seconds until more is read from one that prints faster than anybody could read."""
_MOST_LINE: Final = 200


class ReplicaOutput:
    """A pipe for stdout and stderr, read on the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._tail = b""
        self._following = False
        self._closed = False

    def follow(self) -> None:
        """Close our copy of the writing end, now that the replica has its own, and read."""
        os.close(self.writing)
        self._following = True
        self._listen()

    def close(self) -> None:
        """Take what is left in the pipe, and close it."""
        if not self._following:
            self.follow()
        if not self._closed:
            self._read()
        self._end()

    @property
    def last_words(self) -> str:
        """The end of what was printed."""
        return self._tail.decode(errors="replace")

    @property
    def last_line(self) -> str:
        """Its last line that says something, fit to be shown."""
        lines = [line for line in self.last_words.splitlines() if line.strip()]
        line = lines[-1].strip() if lines else ""
        return "".join(char for char in line if char.isprintable())[:_MOST_LINE]

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._reading, self._readable)

    def _readable(self) -> None:
        if self._read() == _CHUNK:
            self._loop.remove_reader(self._reading)
            self._loop.call_later(_PAUSE, self._listen)

    def _read(self) -> int:
        try:
            data = os.read(self._reading, _CHUNK)
        except BlockingIOError:
            return 0
        if not data:
            self._end()
        self._tail = (self._tail + data)[-_TAIL:]
        return len(data)

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._reading)
            os.close(self._reading)
