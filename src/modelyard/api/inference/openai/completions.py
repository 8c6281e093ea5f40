"""`POST /v1/completions`: how the answer is written."""

from __future__ import annotations

from typing import Any

from modelyard.api.inference.openai.answer import TextAnswer
from modelyard.api.inference.openai.reply import Reply
from modelyard.api.inference.openai.requests import CompletionRequest
from modelyard.api.inference.openai.writing import Writer, encode
from modelyard.serving.language.generation import Piece, Reason, TokenLogprob


class CompletionAnswer(TextAnswer):
    """An `Edge`. `choices` is how many there are over all prompts."""

    def __init__(
        self, request: CompletionRequest, reply: Reply, size: int, request_id: str, choices: int
    ) -> None:
        writer = Writer(
            reply,
            size,
            kind="text_completion",
            prefix=f"cmpl-{request_id}",
            model=request.model,
            stream=bool(request.stream),
        )
        super().__init__(writer, include_usage=request.include_usage)
        self._choices = [_Choice() for _ in range(choices)]

    def piece(self, index: int, piece: Piece) -> None:
        """Send it, or keep it for the end."""
        choice = self._choices[index]
        if self._writer.stream:
            self._writer.send(self._event(index, choice, piece))
            choice.length += len(piece.text)
        else:
            choice.texts.append(piece.text)
            choice.logprobs += piece.logprobs

    def _event(self, index: int, choice: _Choice, piece: Piece) -> bytes:
        if piece.logprobs:
            told = _choice(index, piece.text, None, piece.logprobs, choice.length)
            return self._writer.event(told, self._tail)
        if choice.around is None:
            told = _choice(index, "", None, (), 0)
            choice.around = self._writer.around(told, b'"text":', self._tail)
        before, after = choice.around
        return before + encode(piece.text) + after

    def finished(self, index: int, reason: Reason) -> str:
        """Keep why, for the end."""
        self._choices[index].reason = reason.value
        return reason.value

    def _whole(self) -> list[Any]:
        return [
            _choice(index, "".join(each.texts), each.reason, each.logprobs, 0)
            for index, each in enumerate(self._choices)
        ]

    def _rest(self) -> list[bytes]:
        return [
            self._writer.event(_choice(index, "", each.reason, (), each.length), self._tail)
            for index, each in enumerate(self._choices)
        ]


class _Choice:
    """One answer as far as it is known; `length` is what was sent of it, in characters."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.logprobs: tuple[TokenLogprob, ...] = ()
        self.reason = ""
        self.length = 0
        self.around: tuple[bytes, bytes] | None = None


def _choice(
    index: int, text: str, reason: str | None, logprobs: tuple[TokenLogprob, ...], at: int
) -> dict[str, Any]:
    told = _logprobs(logprobs, at) if logprobs else None
    return {"index": index, "text": text, "logprobs": told, "finish_reason": reason}


def _logprobs(logprobs: tuple[TokenLogprob, ...], at: int) -> dict[str, Any]:
    offsets = []
    for each in logprobs:
        offsets.append(at)
        at += len(each.token)
    return {
        "tokens": [each.token for each in logprobs],
        "token_logprobs": [each.logprob for each in logprobs],
        "top_logprobs": [
            {each.token: each.logprob} | {one.token: one.logprob for one in each.top}
            for each in logprobs
        ],
        "text_offset": offsets,
    }
