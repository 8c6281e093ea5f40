"""Requests that are passed on to somebody else's OpenAI API: what of them is."""

from __future__ import annotations

from typing import Final

import msgspec

from modelyard.api.http import Headers
from modelyard.api.inference.openai.requests import (
    ChatRequest,
    CompletionRequest,
    read_request,
)
from modelyard.serving.language.relayed import Capability, Relayed

_SAMPLING: Final = frozenset(
    {
        "frequency_penalty",
        "ignore_eos",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "min_p",
        "n",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_p",
    }
)
CHAT_FIELDS: Final = _SAMPLING | {
    "max_completion_tokens",
    "messages",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
    "tool_choice",
    "tools",
    "top_logprobs",
}
COMPLETION_FIELDS: Final = _SAMPLING | {"prompt"}
"""All that is ever passed on. What would have a provider keep, fetch or charge beyond the answer
(`store`, `metadata`, `service_tier`, `user`, `web_search_options`) is not among them.
"""
_NULL: Final = msgspec.Raw(b"null")


def relayed_chat(request: ChatRequest, body: bytes, headers: Headers) -> Relayed:
    """The request with messages, tools and formats as they came. Raises Invalid."""
    request.sampling(top_logprobs=request.top_logprobs)
    fields = _fields(body, CHAT_FIELDS)
    size = len(fields["messages"])
    return Relayed(Capability.CHAT, fields, request.choices, headers, size)


def relayed_completion(request: CompletionRequest, body: bytes, headers: Headers) -> Relayed:
    """The same of a request to complete texts. Raises Invalid."""
    request.sampling()
    fields = _fields(body, COMPLETION_FIELDS)
    choices = len(request.prompts()) * request.choices
    return Relayed(Capability.COMPLETIONS, fields, choices, headers, len(fields["prompt"]))


def _fields(body: bytes, known: frozenset[str]) -> dict[str, msgspec.Raw]:
    given = read_request(body, dict[str, msgspec.Raw])
    return {name: raw for name, raw in given.items() if name in known and raw != _NULL}
