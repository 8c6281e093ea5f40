"""`POST /v1/responses`: how the answer is written."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from modelyard.api.inference.openai.errors import error_of, openai_status
from modelyard.api.inference.openai.reply import EVENTS, Reply
from modelyard.api.inference.openai.response_items import (
    CallItem,
    Event,
    Item,
    MessageItem,
    Status,
)
from modelyard.api.inference.openai.responses_request import ResponsesRequest
from modelyard.api.inference.openai.writing import encode, refuse
from modelyard.core.errors import ModelyardError
from modelyard.serving.language.exchange import Usage
from modelyard.serving.language.generation import Piece, Reason, TokenLogprob

_CUT_SHORT: Final = {Reason.LENGTH: "max_output_tokens", Reason.CONTENT_FILTER: "content_filter"}


class ResponseAnswer:
    """An `Edge`. Calls of functions come as such, apart from the text."""

    def __init__(self, request: ResponsesRequest, reply: Reply, size: int, request_id: str) -> None:
        self.size = size
        self._reply = reply
        self._stream = bool(request.stream)
        self._id = request_id
        self._frame = _frame(request, request_id)
        self._items: list[Item] = []
        self._calls: dict[int, CallItem] = {}
        self._reason = Reason.STOP
        self._number = 0

    @property
    def written(self) -> int:
        """Bytes of the answer so far."""
        return self._reply.written

    def answered_by(self, name: str) -> None:
        """Tell who answers, as long as headers can still tell."""
        if not self._reply.begun:
            self._reply.header(b"x-modelyard-upstream", name.encode("ascii", "replace"))

    def piece(self, index: int, piece: Piece) -> None:
        """Send it, or keep it for the end."""
        del index
        self._tell(self._grown(piece))

    def finished(self, index: int, reason: Reason) -> str:
        """Keep why, and what it was, for the end."""
        del index
        self._reason = reason
        return reason.value

    def ending(self, usage: Usage) -> bytes:
        """All of the answer, or the rest of the stream."""
        cut_short = _CUT_SHORT.get(self._reason)
        status: Status = "incomplete" if cut_short else "completed"
        rest = [] if self._items else list(self._begun(self._message("output_text")))
        *before, last = self._items
        whole = {
            **self._frame,
            "status": status,
            "completed_at": None if cut_short else int(time.time()),
            "incomplete_details": {"reason": cut_short} if cut_short else None,
            "output": [*(item.told("completed") for item in before), last.told(status)],
            "usage": _usage_of(usage),
        }
        if not self._stream:
            return encode(whole)
        end = Event(f"response.{status}", {"response": whole})
        return self._written([*rest, *last.ended(status), end])

    def end(self, rest: bytes) -> None:
        """Send it."""
        if self._stream:
            self._send(rest)
            self._reply.end()
        else:
            self._reply.whole(rest)

    def failed(self, error: ModelyardError) -> int:
        """Tell of a failure: by the status, or in a stream that has begun by its last event."""
        if self._reply.begun:
            told = error_of(error)["error"]
            said = {"code": told["code"], "message": told["message"]}
            failed = {**self._frame, "status": "failed", "error": said}
            self._send(self._written([Event("response.failed", {"response": failed})]))
            self._reply.end()
        else:
            refuse(self._reply, error)
        return openai_status(error)

    # Items

    def _grown(self, piece: Piece) -> Iterator[Event]:
        """What a piece adds to the answer."""
        if piece.text:
            yield from self._said("output_text", piece.text, piece.logprobs)
        if piece.refusal:
            yield from self._said("refusal", piece.refusal, ())
        for part in piece.calls:
            call = self._calls.get(part.index)
            if call is None:
                call = CallItem(len(self._items), self._id, part.name, part.id)
                self._calls[part.index] = call
                yield from self._begun(call)
            if part.arguments:
                yield call.add(part.arguments)

    def _said(self, kind: str, text: str, logprobs: tuple[TokenLogprob, ...]) -> Iterator[Event]:
        message = self._items[-1] if self._items else None
        if not isinstance(message, MessageItem) or message.kind != kind:
            message = self._message(kind)
            yield from self._begun(message)
        yield message.add(text, logprobs)

    def _message(self, kind: str) -> MessageItem:
        return MessageItem(len(self._items), self._id, kind)

    def _begun(self, item: Item) -> Iterator[Event]:
        """A new item, which ends the one before."""
        if self._items:
            yield from self._items[-1].ended("completed")
        self._items.append(item)
        yield from item.begun()

    # Events

    def _tell(self, events: Iterable[Event]) -> None:
        told = list(events)
        if self._stream:
            self._send(self._written(told))

    def _written(self, events: Iterable[Event]) -> bytes:
        """The events with their numbers; the very first ones tell that there is a response."""
        if self._number == 0:
            there = {"response": self._frame}
            first = [Event("response.created", there), Event("response.in_progress", there)]
            events = [*first, *events]
        lines = []
        for event in events:
            fields = {"type": event.kind, "sequence_number": self._number, **event.fields}
            lines.append(b"event: %b\ndata: %b\n\n" % (event.kind.encode(), encode(fields)))
            self._number += 1
        return b"".join(lines)

    def _send(self, data: bytes) -> None:
        if not self._reply.begun:
            self._reply.begin(EVENTS)
        self._reply.write(data)


def _frame(request: ResponsesRequest, request_id: str) -> dict[str, Any]:
    """The response while it is in progress: all but output and usage is known from the request."""
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": None,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "background": False,
        "store": False,
        "temperature": _given(request.temperature, 1.0),
        "top_p": _given(request.top_p, 1.0),
        "presence_penalty": _given(request.presence_penalty, 0.0),
        "frequency_penalty": _given(request.frequency_penalty, 0.0),
        "top_logprobs": request.top_logprobs or 0,
        "text": {"format": request.format.told()},
        "tool_choice": request.tool_choice or "auto",
        "tools": [tool.told() for tool in request.tools or ()],
        "truncation": "disabled",
        "service_tier": "default",
        "metadata": request.metadata or {},
        "safety_identifier": None,
        "prompt_cache_key": None,
        "user": None,
        "usage": None,
    }


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _usage_of(usage: Usage) -> dict[str, Any]:
    """Counts of tokens as this API tells them."""
    told = {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }
    return told | {"estimated": True} if usage.estimated else told
