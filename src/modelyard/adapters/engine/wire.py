"""What a child tells its parent through the pipe: one JSON object a line.

The parent trusts none of it: a line is bounded, decoded into the types below or dropped.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from modelyard.core.tasks import Outcome, Progress

MAX_LINE: Final = 8 * 1024
MAX_MESSAGE: Final = 2000


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: a progress while the task runs, or its outcome as the last line."""

    progress: Progress | None = None
    outcome: Outcome | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Line).decode


def pack(line: Line) -> bytes:
    """The line with its newline; a progress too long for one line loses its data."""
    packed = _encode(line)
    if len(packed) >= MAX_LINE and line.progress is not None:
        short = Progress(line.progress.message[:MAX_MESSAGE], line.progress.fraction)
        packed = _encode(Line(progress=short))
    return packed + b"\n"


class LineReader:
    """Cuts the bytes from a pipe into lines, and drops what is no line of ours."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False
        self.dropped = 0

    def feed(self, data: bytes) -> list[Line]:
        """The whole, valid lines up to the end of `data`."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines = []
        for number, raw in enumerate(whole):
            if number == 0 and self._skipping:
                self._skipping = False
                continue
            line = _parse(raw)
            if line is None:
                self.dropped += 1
            else:
                lines.append(line)
        if whole or not self._skipping:
            self._rest = rest
        if len(self._rest) > MAX_LINE:
            # The line has no end in sight: forget it, and all up to the next newline.
            self.dropped += 1
            self._rest, self._skipping = b"", True
        return lines


def _parse(raw: bytes) -> Line | None:
    # No database keeps the character NUL.
    if len(raw) > MAX_LINE or b"\\u0000" in raw:
        return None
    try:
        line = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if line.outcome is not None:
        told = line.outcome
        return Line(outcome=Outcome(told.ok, told.code[:80], told.message[:MAX_MESSAGE]))
    if line.progress is None:
        return None
    fraction = line.progress.fraction
    if fraction is not None and not (math.isfinite(fraction) and 0 <= fraction <= 1):
        return None
    return Line(
        progress=Progress(line.progress.message[:MAX_MESSAGE], fraction, line.progress.data)
    )
