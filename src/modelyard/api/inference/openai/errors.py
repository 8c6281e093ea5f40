"""Failures as the OpenAI API tells them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec

from modelyard.api.http import HeaderList
from modelyard.api.statuses import headers_of, status_of
from modelyard.core import errors
from modelyard.core.errors import Invalid, ModelyardError

_CODES: Final[dict[type[ModelyardError], str]] = {
    errors.NotFound: "model_not_found",
    errors.Unauthenticated: "invalid_api_key",
    errors.RateLimited: "rate_limit_exceeded",
    errors.BudgetExceeded: "insufficient_quota",
}
"""Where OpenAI's clients know another code than ours."""


_TYPES: Final[dict[type[ModelyardError], str]] = {
    errors.RateLimited: "rate_limit_exceeded",
    errors.BudgetExceeded: "insufficient_quota",
}


class Unsupported(Invalid):
    """A good field of OpenAI's API that means nothing here; `param` is its name."""

    code = "unsupported_parameter"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def openai_status(error: ModelyardError) -> HTTPStatus:
    """The HTTP status. A budget that is spent is 429 to OpenAI's clients, and told from a rate by
    its code.
    """
    spent = isinstance(error, errors.BudgetExceeded)
    return HTTPStatus.TOO_MANY_REQUESTS if spent else status_of(error)


def openai_headers(error: ModelyardError) -> HeaderList:
    """The headers that belong to the failure's status."""
    headers = [(name.encode(), value.encode()) for name, value in headers_of(error).items()]
    if isinstance(error, errors.BudgetExceeded):
        # Else OpenAI's clients would try again, as with any 429.
        headers.append((b"x-should-retry", b"false"))
    return headers


def error_of(error: ModelyardError) -> dict[str, Any]:
    """The object that clients read."""
    kind = "invalid_request_error" if openai_status(error) < 500 else "server_error"
    kind = _TYPES.get(type(error), kind)
    code = _CODES.get(type(error), error.code)
    param = error.param if isinstance(error, Unsupported) else None
    return {"error": {"message": error.message, "type": kind, "param": param, "code": code}}


def error_body(error: ModelyardError) -> bytes:
    """The failure as a body."""
    return msgspec.json.encode(error_of(error))
