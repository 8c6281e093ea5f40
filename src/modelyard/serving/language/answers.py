"""Whole answers, for those who do not want them in pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from modelyard.core.errors import ModelyardError
from modelyard.core.tensors import Tensor
from modelyard.serving.language.generation import Finish, Generation, Piece
from modelyard.serving.language.ports import Speaker, Spoken


class Answers:
    """The whole answers to several prompts; `done` is told that they are there, or an error."""

    def __init__(self, count: int, done: Callable[[ModelyardError | None], None]) -> None:
        self._rows = [_Row(self._ended) for _ in range(count)]
        self._done = done
        self._spoken: list[Spoken] = []

    @property
    def tensor(self) -> Tensor:
        return np.array(["".join(row.pieces) for row in self._rows], dtype=np.object_)

    def begin(self, speaker: Speaker, asked: Sequence[Generation], seconds: float) -> None:
        for row, each in zip(self._rows, asked, strict=True):
            self._spoken.append(speaker.speak(each, seconds, row))

    def cancel(self) -> None:
        for spoken in self._spoken:
            spoken.cancel()

    def _ended(self, error: ModelyardError | None) -> None:
        if error is not None or not any(row.open for row in self._rows):
            self._done(error)


class _Row:
    """The answer to one prompt."""

    def __init__(self, ended: Callable[[ModelyardError | None], None]) -> None:
        self._ended = ended
        self.pieces: list[str] = []
        self.open = True

    def piece(self, piece: Piece) -> None:
        self.pieces.append(piece.text)

    def finished(self, finish: Finish) -> None:
        self.open = False
        self._ended(None)

    def failed(self, error: ModelyardError) -> None:
        self.open = False
        self._ended(error)
