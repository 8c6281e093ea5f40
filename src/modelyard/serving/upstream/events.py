"""Server-sent events, as far as OpenAI's API uses them: the data of one after the other."""

from __future__ import annotations

from typing import Final

from modelyard.serving.upstream.failures import Kind, UpstreamFailed

MAX_EVENT: Final = 1 << 20
"""Bytes of one event."""


class EventReader:
    """Takes the bytes as they come. Other fields than data, and comments, say nothing to us."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, part: bytes) -> list[bytes]:
        """The events that have become whole. Raises UpstreamFailed for one without an end."""
        *lines, rest = part.split(b"\n")
        events = []
        for line in lines:
            whole = b"".join([*self._line, line]) if self._line else line
            self._line.clear()
            data = self._take(whole.rstrip(b"\r"))
            if data is not None:
                events.append(data)
                self._size = 0
        if rest:
            self._line.append(rest)
        self._size = sum(map(len, self._data)) if lines else self._size
        self._size += len(rest)
        if self._size > MAX_EVENT:
            raise UpstreamFailed(Kind.MALFORMED, "an event is too large")
        return events

    def _take(self, line: bytes) -> bytes | None:
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data) if data else None
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        return None
