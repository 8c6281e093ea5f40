"""Talking to a language model, by OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from modelyard_client.errors import UnexpectedAnswer
from modelyard_client.transport import Transport

_DONE = "[DONE]"


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn. `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


class ChatUsage(msgspec.Struct, frozen=True):
    """Tokens of one answer, as they are metered."""

    prompt_tokens: int
    completion_tokens: int


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta


class _Failure(msgspec.Struct, frozen=True):
    message: str


class _Chunk(msgspec.Struct, frozen=True):
    choices: Sequence[_Choice] = ()
    usage: ChatUsage | None = None
    error: _Failure | None = None


class Chat:
    """`/v1/chat/completions`. A key of scope `infer` is enough."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def stream(
        self,
        deployment: str,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Iterator[str | ChatUsage]:
        """The answer in pieces as they come, and its usage last.

        Raises:
            ApiError: the server refused.
            UnexpectedAnswer: the answer broke off.
        """
        body: dict[str, Any] = {
            "model": deployment,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        with self._transport.stream("/v1/chat/completions", body=body) as events:
            for event in events:
                if event == _DONE:
                    return
                chunk = msgspec.json.decode(event, type=_Chunk)
                if chunk.error is not None:
                    raise UnexpectedAnswer(f"the answer broke off: {chunk.error.message}")
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield choice.delta.content
                if chunk.usage is not None:
                    yield chunk.usage
        raise UnexpectedAnswer("the answer broke off")
