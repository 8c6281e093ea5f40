"""Failures as the OpenAI API tells them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from modelyard.api.statuses import status_of
from modelyard.core import errors
from modelyard.core.errors import Invalid, ModelyardError

_CODES: Final[dict[type[ModelyardError], str]] = {
    errors.NotFound: "model_not_found",
    errors.Unauthenticated: "invalid_api_key",
}
"""Where OpenAI's clients know another code than ours."""


class Unsupported(Invalid):
    """A good field of OpenAI's API that means nothing here; `param` is its name."""

    code = "unsupported_parameter"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def error_of(error: ModelyardError) -> dict[str, Any]:
    """The object that clients read."""
    kind = "invalid_request_error" if status_of(error) < 500 else "server_error"
    code = _CODES.get(type(error), error.code)
    param = error.param if isinstance(error, Unsupported) else None
    return {"error": {"message": error.message, "type": kind, "param": param, "code": code}}


def error_body(error: ModelyardError) -> bytes:
    """The failure as a body."""
    return msgspec.json.encode(error_of(error))
