"""Whole answers, for those who do not want them in pieces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from modelyard.core.errors import ModelyardError
from modelyard.core.tensors import Tensor
from modelyard.serving.batch import Batch, Parts, join, share
from modelyard.serving.language.generation import Finish, Generation, Piece
from modelyard.serving.language.model import PROMPT, TEXT, question
from modelyard.serving.language.ports import Speaker, Spoken


def answered(batch: Batch, speaker: Speaker) -> asyncio.Future[Parts]:
    """The likeliest answer to each prompt of the batch, for a runner whose model speaks."""
    outcome: asyncio.Future[Parts] = asyncio.get_running_loop().create_future()
    requests = batch.unanswered()
    if not requests:
        outcome.set_result([])
        return outcome
    batch.began = time.monotonic()
    prompts = join(requests)[PROMPT]
    batch.rows = len(prompts)
    seconds = max(each.deadline for each in requests) - batch.began

    def done(error: ModelyardError | None) -> None:
        batch.ended = time.monotonic()
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(share(requests, {TEXT: answers.tensor}))

    answers = Answers(len(prompts), done)
    answers.begin(speaker, [question(str(prompt)) for prompt in prompts], seconds)
    batch.stop.on_set(answers.cancel)
    return outcome


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
