"""Answers that are none: what a status means, and how much of it a client may be told."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.serving.language.generation import ContextOverflow
from modelyard.serving.upstream.failures import Kind, UpstreamFailed
from modelyard.serving.upstream.ports import HttpAnswer, read_whole

MAX_BODY: Final = 64 << 10
MAX_REST: Final = 3600.0
_THEIRS: Final = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""What is wrong with these is wrong with the client's request."""
_WORD: Final = re.compile(r"[a-z][a-z0-9_.\[\]]{0,63}")


class _Error(msgspec.Struct, frozen=True):
    code: Any = None
    param: Any = None


class _Body(msgspec.Struct, frozen=True):
    error: _Error


async def refusal(answer: HttpAnswer, provider: str) -> UpstreamFailed | ModelyardError:
    """What an answer with another status than 200 comes to."""
    status = answer.status
    retry_after = read_retry_after(answer.headers.get("retry-after", ""))
    detail = f"status {status}"
    if status in _THEIRS:
        return await _fault(answer, provider)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamFailed(Kind.LIMITED, detail, retry_after)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return UpstreamFailed(Kind.STATUS, detail, retry_after)
    return UpstreamFailed(Kind.REFUSED, detail)


def read_retry_after(text: str) -> float | None:
    """Seconds, from either form (RFC 9110, section 10.2.3); None for what is neither."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), MAX_REST) if math.isfinite(seconds) else None


async def _fault(answer: HttpAnswer, provider: str) -> ModelyardError:
    """The error to tell. What was said may hold a key, an address or more of others: of it only
    words are told that look like a code and a field's name.
    """
    said = _Error()
    try:
        body = await read_whole(answer, MAX_BODY)
        said = msgspec.json.decode(body or b"", type=_Body).error
    except (UpstreamFailed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Its status tells enough.
        said = _Error()
    if said.code == ContextOverflow.code:
        return ContextOverflow("prompt and answer do not fit what the provider's model can look at")
    words = [
        f"{name} '{word}'"
        for name, word in (("code", said.code), ("field", said.param))
        if isinstance(word, str) and _WORD.fullmatch(word)
    ]
    told = f" ({', '.join(words)})" if words else ""
    return Invalid(f"provider '{provider}' does not take this request{told}")
