"""What a request for text may come to at most, before anybody has counted its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from modelyard.core.metering import Quantities
from modelyard.serving.language.generation import Generation
from modelyard.serving.language.relayed import Relayed

ANSWER_TOKENS: Final = 2048
"""The longest answer to a key whose tokens are bounded, where the request itself names no bound."""

_TURN: Final = 16
"""Tokens that a model's template may put around one message, and around all."""
_MOST_BYTES: Final = 4
"""Of one character, in UTF-8."""


def bounded(asked: Sequence[Generation]) -> list[Generation]:
    """The same, each with a longest answer."""
    return [
        each
        if each.sampling.max_tokens
        else replace(each, sampling=replace(each.sampling, max_tokens=ANSWER_TOKENS))
        for each in asked
    ]


def most_generated(asked: Sequence[Generation], copies: int) -> Quantities:
    """Of generations, `copies` of each prompt one after the other.

    A token is one byte of its text at least, so a prompt has no more tokens than bytes. It counts
    once, however many answers it has.
    """
    prompts = sum(_tokens(each) for each in asked[::copies])
    answers = sum(each.sampling.max_tokens or ANSWER_TOKENS for each in asked)
    return Quantities(1, len(asked), input_tokens=prompts, output_tokens=answers)


def most_relayed(asked: Relayed) -> Quantities:
    """Of a request that is answered elsewhere."""
    named = (asked.fields.get(name) for name in ("max_completion_tokens", "max_tokens"))
    answer = next((most for most in named if isinstance(most, int)), ANSWER_TOKENS)
    prompt = asked.size * _MOST_BYTES + _TURN
    return Quantities(1, asked.choices, input_tokens=prompt, output_tokens=answer * asked.choices)


def _tokens(asked: Generation) -> int:
    texts = [asked.prompt, *(message.content for message in asked.messages)]
    return sum(len(text.encode()) for text in texts) + _TURN * len(texts)
