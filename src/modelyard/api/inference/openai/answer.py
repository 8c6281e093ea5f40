"""What the answers of chat and completions have in common: how they end."""

from __future__ import annotations

from typing import Any

from modelyard.api.inference.openai.writing import DONE, Writer, encode, usage_of
from modelyard.core.errors import ModelyardError
from modelyard.serving.language.exchange import Usage


class TextAnswer:
    """An `Edge`, but for `piece` and `finished`. A subclass says what is still to be told."""

    def __init__(self, writer: Writer, *, include_usage: bool) -> None:
        self._writer = writer
        self._include_usage = include_usage
        # As OpenAI does: where a usage comes last, all events before it have none.
        self._tail = b',"usage":null' if include_usage else b""
        self.size = writer.size

    @property
    def written(self) -> int:
        """Bytes of the answer so far."""
        return self._writer.written

    def answered_by(self, name: str) -> None:
        """Tell it in a header."""
        self._writer.answered_by(name)

    def ending(self, usage: Usage) -> bytes:
        """All of the answer, or the rest of the stream."""
        if not self._writer.stream:
            return self._writer.whole(self._whole(), usage)
        events = self._rest()
        if self._include_usage:
            events.append(self._writer.event(None, b',"usage":' + encode(usage_of(usage))))
        return b"".join([*events, DONE])

    def end(self, rest: bytes) -> None:
        """Send it."""
        self._writer.end(rest)

    def failed(self, error: ModelyardError) -> int:
        """Tell of it; returns the status."""
        return self._writer.failed(error)

    def _whole(self) -> list[Any]:
        """All choices."""
        raise NotImplementedError

    def _rest(self) -> list[bytes]:
        """The last events of a stream."""
        raise NotImplementedError
