"""What a model says that was told of tools, read as it comes: text, or a call of a function.

`tools.offer` holds it to `{"name": function, "arguments": object}` or `{"answer": text}`. As soon
as it is known which of them it is, the rest is passed on piece by piece, without what is around it.
"""

from __future__ import annotations

import json
import re
from typing import Final, Protocol

from modelyard.core.errors import ModelyardError
from modelyard.serving.language import tools
from modelyard.serving.language.exchange import Edge, Usage
from modelyard.serving.language.generation import CallPiece, Piece, Reason

_ANSWERED: Final = re.compile(r'\s*\{\s*"answer"\s*:\s*"')
_CALLED: Final = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\]*)"\s*,\s*"arguments"\s*:\s*(?=\{)')
_BEGINNING: Final = 256
"""Characters within which it is clear what it is; if not, it is read at its end."""
_COMPLETE: Final = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)
"""The inside of a JSON string as far as no escape is cut in two."""
_LONGEST_ESCAPE: Final = 12


class CallingEdge:
    """An `Edge` before another one, for a request with tools to a model of ours."""

    def __init__(self, edge: Edge, request_id: str, choices: int, *, structured: bool) -> None:
        self._edge = edge
        self._readers = [
            AnswerReader(f"call_{request_id}_{index}", structured=structured)
            for index in range(choices)
        ]
        self.size = edge.size

    @property
    def written(self) -> int:
        """Bytes of the answer so far."""
        return self._edge.written

    def answered_by(self, name: str) -> None:
        """Pass it on."""
        self._edge.answered_by(name)

    def piece(self, index: int, piece: Piece) -> None:
        """Pass on what is meant by it, if that is known."""
        read = self._readers[index].add(piece.text)
        if read.text or read.calls:
            logprobs = piece.logprobs if read.text else ()
            self._edge.piece(index, Piece(read.text, piece.tokens, logprobs, read.calls))

    def finished(self, index: int, reason: Reason) -> str:
        """Pass on what was kept back, and whether it was a call."""
        reader = self._readers[index]
        read = reader.end()
        if read.text or read.calls:
            self._edge.piece(index, read)
        if reader.called and reason is Reason.STOP:
            reason = Reason.TOOL_CALLS
        return self._edge.finished(index, reason)

    def ending(self, usage: Usage) -> bytes:
        """Pass it on."""
        return self._edge.ending(usage)

    def end(self, rest: bytes) -> None:
        """Pass it on."""
        self._edge.end(rest)

    def failed(self, error: ModelyardError) -> int:
        """Pass it on."""
        return self._edge.failed(error)


class AnswerReader:
    """One answer. With `structured` what is no call is JSON of its own, and told at the end."""

    def __init__(self, call_id: str, *, structured: bool = False) -> None:
        self._call_id = call_id
        self._structured = structured
        self._said: list[str] = []
        self._length = 0
        self._inside: _Inside | None = None
        self.called = False

    def add(self, text: str) -> Piece:
        """What more of it means; empty while that is not known."""
        if self._inside is not None:
            return self._meant(self._inside.add(text))
        self._said.append(text)
        self._length += len(text)
        if self._length > _BEGINNING:
            return Piece("", 0)
        said = "".join(self._said)
        if call := _CALLED.match(said):
            self._inside, self.called = _Arguments(), True
            arguments = self._inside.add(said[call.end() :])
            return Piece("", 0, calls=(CallPiece(0, self._call_id, call[1], arguments),))
        answer = None if self._structured else _ANSWERED.match(said)
        if answer is None:
            return Piece("", 0)
        self._inside = _Text()
        return self._meant(self._inside.add(said[answer.end() :]))

    def end(self) -> Piece:
        """What has not been told yet."""
        if self._inside is not None:
            return Piece("", 0)
        answer = tools.parse("".join(self._said), structured=self._structured)
        if isinstance(answer, str):
            return Piece(answer, 0)
        self.called = True
        call = CallPiece(0, self._call_id, answer.name, answer.arguments)
        return Piece("", 0, calls=(call,))

    def _meant(self, text: str) -> Piece:
        if self.called and text:
            return Piece("", 0, calls=(CallPiece(0, arguments=text),))
        return Piece(text, 0)


class _Inside(Protocol):
    """What of the following belongs to the answer."""

    def add(self, text: str) -> str: ...


class _Text:
    """The inside of a JSON string, up to its end, unescaped."""

    def __init__(self) -> None:
        self._held = ""
        self._over = False

    def add(self, text: str) -> str:
        if self._over:
            return ""
        held = self._held + text
        complete = _COMPLETE.match(held)
        end = complete.end() if complete else 0
        self._held = held[end:]
        self._over = self._held.startswith('"')
        shown: str = json.loads(f'"{held[:end]}"', strict=False)
        if not self._over and len(self._held) >= _LONGEST_ESCAPE:
            # No JSON at all: it is shown as it is.
            shown, self._held = shown + self._held, ""
        return shown


class _Arguments:
    """A JSON object as it stands, up to the brace that closes it."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = self._over = False

    def add(self, text: str) -> str:
        if self._over:
            return ""
        for at, letter in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._escaped = letter == "\\"
                self._quoted = letter != '"'
            elif letter == '"':
                self._quoted = True
            else:
                self._depth += (letter in "{[") - (letter in "}]")
                if self._depth == 0:
                    self._over = True
                    return text[: at + 1]
        return text
