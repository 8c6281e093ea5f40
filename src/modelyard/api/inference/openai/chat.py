"""`POST /v1/chat/completions`: how the answer is written."""

from __future__ import annotations

from typing import Any, Final

from modelyard.api.inference.openai.answer import TextAnswer
from modelyard.api.inference.openai.reply import Reply
from modelyard.api.inference.openai.requests import ChatRequest
from modelyard.api.inference.openai.writing import Writer, encode, logprobs_of
from modelyard.serving.language.generation import CallPiece, Piece, Reason, TokenLogprob

_EMPTY: Final = {"role": "assistant", "content": ""}


class ChatAnswer(TextAnswer):
    """An `Edge`. Calls of tools come as such, apart from the text."""

    def __init__(self, request: ChatRequest, reply: Reply, size: int, request_id: str) -> None:
        stream = bool(request.stream)
        writer = Writer(
            reply,
            size,
            kind="chat.completion.chunk" if stream else "chat.completion",
            prefix=f"chatcmpl-{request_id}",
            model=request.model,
            stream=stream,
        )
        super().__init__(writer, include_usage=request.include_usage)
        self._choices = [_Choice() for _ in range(request.choices)]

    def piece(self, index: int, piece: Piece) -> None:
        """Send it, or keep it for the end."""
        choice = self._choices[index]
        if not self._writer.stream:
            choice.keep(piece)
        elif not choice.begun:
            choice.begun = True
            choice.around = self._around(index)
            delta = {"role": "assistant", **_delta(piece)}
            self._writer.send(self._event(index, delta, None, piece.logprobs))
        elif piece.logprobs or piece.calls or piece.refusal:
            self._writer.send(self._event(index, _delta(piece), None, piece.logprobs))
        else:
            before, after = choice.around
            self._writer.send(before + encode(piece.text) + after)

    def finished(self, index: int, reason: Reason) -> str:
        """Keep why, for the end."""
        choice = self._choices[index]
        choice.reason = reason.value
        return choice.reason

    def _whole(self) -> list[Any]:
        return [self._told(index, choice) for index, choice in enumerate(self._choices)]

    def _rest(self) -> list[bytes]:
        events = []
        for index, choice in enumerate(self._choices):
            if not choice.begun:
                events.append(self._event(index, _EMPTY, None, ()))
            events.append(self._event(index, {}, choice.reason, ()))
        return events

    def _event(
        self, index: int, delta: Any, reason: str | None, logprobs: tuple[TokenLogprob, ...]
    ) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": reason}
        if logprobs:
            choice["logprobs"] = _logprobs(logprobs)
        return self._writer.event(choice, self._tail)

    def _around(self, index: int) -> tuple[bytes, bytes]:
        choice = {"index": index, "delta": {"content": ""}, "finish_reason": None}
        return self._writer.around(choice, b'"content":', self._tail)

    def _told(self, index: int, choice: _Choice) -> dict[str, Any]:
        text = "".join(choice.texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text,
            "refusal": None,
            "annotations": [],
        }
        if choice.calls:
            message |= {"content": text or None, "tool_calls": choice.told_calls()}
        if choice.refusal:
            message |= {"content": text or None, "refusal": choice.refusal}
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(choice.logprobs) if choice.logprobs else None,
            "finish_reason": choice.reason,
        }


class _Choice:
    """One answer as far as it is known."""

    def __init__(self) -> None:
        self.begun = False
        self.around = (b"", b"")
        self.texts: list[str] = []
        self.logprobs: tuple[TokenLogprob, ...] = ()
        self.reason = ""
        self.refusal = ""
        self.calls: dict[int, list[CallPiece]] = {}

    def keep(self, piece: Piece) -> None:
        """Keep a piece for the end."""
        self.texts.append(piece.text)
        self.logprobs += piece.logprobs
        self.refusal += piece.refusal
        for call in piece.calls:
            self.calls.setdefault(call.index, []).append(call)

    def told_calls(self) -> list[dict[str, Any]]:
        """The calls that came in pieces, put together."""
        return [
            {
                "id": next((part.id for part in parts if part.id), ""),
                "type": "function",
                "function": {
                    "name": next((part.name for part in parts if part.name), ""),
                    "arguments": "".join(part.arguments for part in parts),
                },
            }
            for _, parts in sorted(self.calls.items())
        ]


def _delta(piece: Piece) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    if piece.text or not (piece.calls or piece.refusal):
        delta["content"] = piece.text
    if piece.refusal:
        delta["refusal"] = piece.refusal
    if piece.calls:
        delta["tool_calls"] = [_call_delta(call) for call in piece.calls]
    return delta


def _call_delta(call: CallPiece) -> dict[str, Any]:
    function = {"arguments": call.arguments}
    if call.name:
        function["name"] = call.name
    delta: dict[str, Any] = {"index": call.index, "function": function}
    return delta | {"id": call.id, "type": "function"} if call.id else delta


def _logprobs(logprobs: tuple[TokenLogprob, ...]) -> dict[str, Any]:
    return {"content": logprobs_of(logprobs), "refusal": None}
