"""From the bytes of tokens to text to be shown: whole letters, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextPieces:
    """Takes the bytes of one token after the other. Once `stopped`, nothing more is to be shown."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def add(self, token: bytes) -> str:
        """The text that may be shown now; empty while it is kept back."""
        if self.stopped:
            return ""
        text = self._decode(token)
        return self._until_stop(self._held + text) if self._stops else text

    def end(self) -> str:
        """What was kept back, once nothing follows."""
        if self.stopped:
            return ""
        rest = self._held + self._decode(b"", True)
        self._held = ""
        return rest

    def _until_stop(self, text: str) -> str:
        at = min((place for stop in self._stops if (place := text.find(stop)) >= 0), default=-1)
        if at >= 0:
            self.stopped = True
            return text[:at]
        kept = max(_beginning(text, stop) for stop in self._stops)
        shown = len(text) - kept
        self._held = text[shown:]
        return text[:shown]


def _beginning(text: str, stop: str) -> int:
    """How much of the text's end may be the beginning of the stop string."""
    longest = min(len(stop) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
