"""The one place where an error becomes an HTTP status, and a body in its protocol's form."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from modelyard.core import errors
from modelyard.core.errors import ModelyardError

_STATUS: Final[Mapping[type[ModelyardError], HTTPStatus]] = {
    errors.Invalid: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Mismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedFormat: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.NotInstalled: HTTPStatus.NOT_IMPLEMENTED,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.BudgetExceeded: HTTPStatus.PAYMENT_REQUIRED,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ModelFailed: HTTPStatus.BAD_GATEWAY,
    errors.Poisonous: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    errors.LostLease: HTTPStatus.CONFLICT,
}

PROBLEM_JSON: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem. `code` is ours and stable; `type` is `about:blank` throughout, so
    `title` is the status's own phrase.
    """

    status: int
    title: str
    detail: str
    code: str
    type: str = "about:blank"


def status_of(error: ModelyardError) -> HTTPStatus:
    """The HTTP status of an expected failure."""
    for kind in type(error).__mro__:
        if (status := _STATUS.get(kind)) is not None:
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def headers_of(error: ModelyardError) -> dict[str, str]:
    """The headers that belong to the failure's status."""
    if isinstance(error, errors.Unavailable):
        return {"retry-after": str(error.retry_after)}
    if isinstance(error, errors.Unauthenticated):
        return {"www-authenticate": 'Bearer realm="modelyard"'}
    return {}


def problem(error: ModelyardError) -> Problem:
    """The failure as the management API tells it."""
    status = status_of(error)
    return Problem(status.value, status.phrase, error.message, error.code)


def error_body(message: str) -> bytes:
    """The failure as the Open Inference Protocol and KServe V1 tell it."""
    return msgspec.json.encode({"error": message})
