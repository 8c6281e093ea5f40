"""`POST /v1/chat/completions`: how the answer is written."""

from __future__ import annotations

from typing import Any

from modelyard.api.inference.openai.answer import TextAnswer
from modelyard.api.inference.openai.reply import Reply
from modelyard.api.inference.openai.requests import ChatRequest
from modelyard.api.inference.openai.writing import Writer, logprobs_of
from modelyard.serving.language import tools
from modelyard.serving.language.generation import CallPiece, Piece, Reason, TokenLogprob


class ChatAnswer(TextAnswer):
    """An `Edge`. Where tools may be called, a choice is told at its end, when it is known whether
    it is a call; unless `calls_come` as such, apart from the text.
    """

    def __init__(
        self,
        request: ChatRequest,
        reply: Reply,
        size: int,
        request_id: str,
        *,
        calls_come: bool = False,
    ) -> None:
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
        self._tools = request.uses_tools and not calls_come
        self._structured = request.structured
        self._held = not stream or self._tools
        self._choices = [_Choice() for _ in range(request.choices)]
        self._id = request_id

    def piece(self, index: int, piece: Piece) -> None:
        """Send it, or keep it for the end."""
        choice = self._choices[index]
        if self._held:
            choice.keep(piece)
            return
        delta = _delta(piece)
        if not choice.begun:
            choice.begun = True
            delta = {"role": "assistant", **delta}
        self._writer.send(self._event(index, delta, None, piece.logprobs))

    def finished(self, index: int, reason: Reason) -> str:
        """Keep why, for the end."""
        choice = self._choices[index]
        choice.reason = reason.value
        if self._tools:
            called = tools.parse("".join(choice.texts), structured=self._structured)
            if isinstance(called, tools.Call):
                choice.called, choice.reason = called, "tool_calls"
            else:
                choice.texts = [called]
        return choice.reason

    def _whole(self) -> list[Any]:
        return [self._told(index, choice) for index, choice in enumerate(self._choices)]

    def _rest(self) -> list[bytes]:
        events = []
        for index, choice in enumerate(self._choices):
            if not choice.begun:
                delta = self._late_delta(index, choice)
                events.append(self._event(index, delta, None, choice.logprobs))
            events.append(self._event(index, {}, choice.reason, ()))
        return events

    def _event(
        self, index: int, delta: Any, reason: str | None, logprobs: tuple[TokenLogprob, ...]
    ) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": reason}
        if logprobs:
            choice["logprobs"] = _logprobs(logprobs)
        return self._writer.event(choice, self._tail)

    def _late_delta(self, index: int, choice: _Choice) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant", "content": "".join(choice.texts)}
        if choice.called is not None:
            call = {"index": 0, **self._call(index, choice.called)}
            delta = {"role": "assistant", "content": None, "tool_calls": [call]}
        return delta

    def _told(self, index: int, choice: _Choice) -> dict[str, Any]:
        text = "".join(choice.texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text,
            "refusal": None,
            "annotations": [],
        }
        if choice.called is not None:
            message |= {"content": None, "tool_calls": [self._call(index, choice.called)]}
        elif choice.calls:
            message |= {"content": text or None, "tool_calls": choice.told_calls()}
        if choice.refusal:
            message |= {"content": text or None, "refusal": choice.refusal}
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(choice.logprobs) if choice.logprobs else None,
            "finish_reason": choice.reason,
        }

    def _call(self, index: int, call: tools.Call) -> dict[str, Any]:
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{self._id}_{index}", "type": "function", "function": function}


class _Choice:
    """One answer as far as it is known."""

    def __init__(self) -> None:
        self.begun = False
        self.texts: list[str] = []
        self.logprobs: tuple[TokenLogprob, ...] = ()
        self.reason = ""
        self.refusal = ""
        self.called: tools.Call | None = None
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
