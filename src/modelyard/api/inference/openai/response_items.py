"""What an answer of `POST /v1/responses` consists of, and the events by which it grows.

Each item is begun, grows, and is ended; what it tells then is also what the whole answer holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from modelyard.api.inference.openai.writing import logprobs_of
from modelyard.serving.language.generation import TokenLogprob


class Event(NamedTuple):
    """One event of a stream, but for its number."""

    kind: str
    fields: dict[str, Any]


Status = Literal["in_progress", "completed", "incomplete"]

_TEXT_FIELDS: Final = {"output_text": "text", "refusal": "refusal"}


class MessageItem:
    """Text of the model's; `kind` is `output_text`, or `refusal` for text by which it declines."""

    def __init__(self, index: int, request_id: str, kind: str) -> None:
        self.kind = kind
        self._index = index
        self._id = f"msg_{request_id}_{index}"
        self._texts: list[str] = []
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self._place = {"item_id": self._id, "output_index": index, "content_index": 0}

    def begun(self) -> Iterator[Event]:
        """That it is there."""
        item = {**self.told("in_progress"), "content": []}
        yield Event("response.output_item.added", {"output_index": self._index, "item": item})
        yield Event("response.content_part.added", {**self._place, "part": self._part()})

    def add(self, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> Event:
        """More text."""
        self._texts.append(text)
        self._logprobs += logprobs
        fields = {**self._place, "delta": text}
        if self.kind == "output_text":
            fields["logprobs"] = logprobs_of(logprobs)
        return Event(f"response.{self.kind}.delta", fields)

    def ended(self, status: Status) -> Iterator[Event]:
        """That this is all of it."""
        part = self._part()
        said = {name: value for name, value in part.items() if name not in ("type", "annotations")}
        yield Event(f"response.{self.kind}.done", {**self._place, **said})
        yield Event("response.content_part.done", {**self._place, "part": part})
        item = {"output_index": self._index, "item": self.told(status)}
        yield Event("response.output_item.done", item)

    def told(self, status: Status) -> dict[str, Any]:
        """As far as it is known."""
        return {
            "type": "message",
            "id": self._id,
            "status": status,
            "role": "assistant",
            "content": [self._part()],
        }

    def _part(self) -> dict[str, Any]:
        part: dict[str, Any] = {"type": self.kind, _TEXT_FIELDS[self.kind]: "".join(self._texts)}
        if self.kind == "output_text":
            part |= {"annotations": [], "logprobs": logprobs_of(self._logprobs)}
        return part


class CallItem:
    """A call of a function."""

    kind = "function_call"

    def __init__(self, index: int, request_id: str, name: str, call_id: str = "") -> None:
        self._index = index
        self._id = f"fc_{request_id}_{index}"
        self._call_id = call_id or f"call_{request_id}_{index}"
        self._name = name
        self._arguments: list[str] = []

    def begun(self) -> Iterator[Event]:
        """That it is there."""
        item = self.told("in_progress")
        yield Event("response.output_item.added", {"output_index": self._index, "item": item})

    def add(self, arguments: str) -> Event:
        """More of its arguments."""
        self._arguments.append(arguments)
        place = {"item_id": self._id, "output_index": self._index}
        return Event("response.function_call_arguments.delta", {**place, "delta": arguments})

    def ended(self, status: Status) -> Iterator[Event]:
        """That this is all of it."""
        told = self.told(status)
        said = {"name": self._name, "arguments": told["arguments"]}
        place = {"item_id": self._id, "output_index": self._index}
        yield Event("response.function_call_arguments.done", {**place, **said})
        yield Event("response.output_item.done", {"output_index": self._index, "item": told})

    def told(self, status: Status) -> dict[str, Any]:
        """As far as it is known."""
        return {
            "type": self.kind,
            "id": self._id,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": "".join(self._arguments),
            "status": status,
        }


Item = MessageItem | CallItem
