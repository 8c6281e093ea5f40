"""What comes in the events of a stream: OpenAI's chunks, read strictly into pieces of ours.

What is not named here is not passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from modelyard.serving.language.generation import (
    CallPiece,
    Candidate,
    Piece,
    Reason,
    TokenLogprob,
)
from modelyard.serving.language.relayed import Capability
from modelyard.serving.upstream.failures import Kind, UpstreamFailed

MAX_CALLS: Final = 128

_REASONS: Final = {
    "length": Reason.LENGTH,
    "tool_calls": Reason.TOOL_CALLS,
    "function_call": Reason.TOOL_CALLS,
    "content_filter": Reason.CONTENT_FILTER,
}
"""Any other reason is that it has said all."""

Index = Annotated[int, Meta(ge=0, lt=1 << 16)]
Count = Annotated[int, Meta(ge=0, lt=1 << 40)]


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, frozen=True):
    index: Annotated[int, Meta(ge=0, lt=MAX_CALLS)] = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Candidate(msgspec.Struct, frozen=True):
    token: str
    logprob: float


class _Token(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    top_logprobs: list[_Candidate] | None = None


class _ChatLogprobs(msgspec.Struct, frozen=True):
    content: list[_Token] | None = None


class _ChatChoice(msgspec.Struct, frozen=True):
    index: Index = 0
    delta: _Delta = _Delta()
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None


class _TextLogprobs(msgspec.Struct, frozen=True):
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _TextChoice(msgspec.Struct, frozen=True):
    index: Index = 0
    text: str = ""
    finish_reason: str | None = None
    logprobs: _TextLogprobs | None = None


class _Cached(msgspec.Struct, frozen=True):
    cached_tokens: Count | None = None


class Counted(msgspec.Struct, frozen=True):
    """Tokens as the provider has counted them."""

    prompt_tokens: Count
    completion_tokens: Count = 0
    prompt_tokens_details: _Cached | None = None

    @property
    def cached(self) -> int:
        """Those of the prompt that had not to be computed."""
        details = self.prompt_tokens_details
        return 0 if details is None else min(details.cached_tokens or 0, self.prompt_tokens)


class _ChatChunk(msgspec.Struct, frozen=True):
    choices: list[_ChatChoice] = []
    usage: Counted | None = None
    error: Any = None


class _TextChunk(msgspec.Struct, frozen=True):
    choices: list[_TextChoice] = []
    usage: Counted | None = None
    error: Any = None


class Chunk(msgspec.Struct, frozen=True):
    """One event: pieces and ends by the index of their choice."""

    pieces: Sequence[tuple[int, Piece]]
    ends: Sequence[tuple[int, Reason]]
    usage: Counted | None


class ChunkReader:
    """Reads the events of one answer, which has so many choices."""

    def __init__(self, capability: Capability, choices: int) -> None:
        kind = _ChatChunk if capability is Capability.CHAT else _TextChunk
        self._decoder: msgspec.json.Decoder[_ChatChunk | _TextChunk] = msgspec.json.Decoder(kind)
        self._choices = choices

    def read(self, data: bytes) -> Chunk:
        """Raises UpstreamFailed: it is no chunk, or tells of a failure."""
        try:
            told = self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamFailed(Kind.MALFORMED, "an event is no chunk") from None
        if told.error is not None:
            raise UpstreamFailed(Kind.BROKEN, "it told of an error")
        if any(choice.index >= self._choices for choice in told.choices):
            raise UpstreamFailed(Kind.MALFORMED, "a choice that was not asked for")
        pieces, ends = [], []
        for choice in told.choices:
            piece = _of_chat(choice) if isinstance(choice, _ChatChoice) else _of_text(choice)
            if piece is not None:
                pieces.append((choice.index, piece))
            if choice.finish_reason is not None:
                ends.append((choice.index, _REASONS.get(choice.finish_reason, Reason.STOP)))
        return Chunk(pieces, ends, told.usage)


def _of_chat(choice: _ChatChoice) -> Piece | None:
    delta = choice.delta
    if not (delta.content or delta.refusal or delta.tool_calls):
        return None
    calls = tuple(map(_call, delta.tool_calls or ()))
    told = (choice.logprobs and choice.logprobs.content) or ()
    logprobs = tuple(
        TokenLogprob(
            each.token,
            each.logprob,
            tuple(Candidate(one.token, one.logprob) for one in each.top_logprobs or ()),
        )
        for each in told
    )
    text = delta.content or ""
    return Piece(text, len(logprobs) or 1, logprobs, calls, delta.refusal or "")


def _call(call: _Call) -> CallPiece:
    function = call.function or _Function()
    return CallPiece(call.index, call.id or "", function.name or "", function.arguments or "")


def _of_text(choice: _TextChoice) -> Piece | None:
    if not choice.text:
        return None
    told = choice.logprobs or _TextLogprobs()
    tokens, numbers = told.tokens or [], told.token_logprobs or []
    tops = told.top_logprobs or [None] * len(tokens)
    if not len(tokens) == len(numbers) == len(tops):
        raise UpstreamFailed(Kind.MALFORMED, "log-probabilities without their tokens")
    logprobs = tuple(
        TokenLogprob(token, number or 0.0, tuple(Candidate(*one) for one in (top or {}).items()))
        for token, number, top in zip(tokens, numbers, tops, strict=True)
    )
    return Piece(choice.text, len(logprobs) or 1, logprobs)
