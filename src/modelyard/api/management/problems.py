"""Every failure as RFC 9457 `application/problem+json`, Litestar's own included."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.typing import FieldDefinition

from modelyard.api.management.json_request import EMPTY, choices
from modelyard.api.statuses import PROBLEM_JSON, Problem, headers_of, problem
from modelyard.core.errors import ModelyardError

_log = logging.getLogger(__name__)

_REASONS: Final[Mapping[int, str]] = {
    400: "A parameter or a field is missing, unknown, of the wrong kind or out of bounds.",
    401: "No key, or one that is not in force.",
    403: "The key's scope does not reach this route.",
    404: "There is no such thing, or not for this tenant.",
    408: "The request did not come in time.",
    409: "Not in the state that things are in, or the same Idempotency-Key is at work.",
    413: "The body is over the bound.",
    414: "The path is over the bound.",
    415: "The body's media type, or the file's format, is not one that is taken.",
    422: "The Idempotency-Key was used before with another request.",
    429: "Too many connections from one address.",
    431: "The headers are over the bound.",
    501: "The server lacks an optional extra; the detail names it.",
    503: "Not now; try again after Retry-After seconds.",
    507: "The server has no room left; nothing that it had is lost.",
}
_ALWAYS: Final = (400, 401, 403, 408, 414, 429, 431, 503)
_CODES: Final[Mapping[int, str]] = {
    400: "invalid",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_format",
}


def refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """The failures of a route for its description: those of every route and these."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=_REASONS[status],
            media_type=PROBLEM_JSON,
            generate_examples=False,
        )
        for status in sorted({*_ALWAYS, *statuses})
    }


def encoded(told: Problem) -> bytes:
    """The problem as it is sent."""
    return msgspec.json.encode(told)


def unexpected(scope: Mapping[str, Any]) -> Problem:
    """Log the exception at hand with the request's id, which is all that the caller gets.

    Of the path only the template is logged, so no identifier from it is.
    """
    request_id = scope["request_id"]
    about = {
        "request_id": request_id,
        "method": scope["method"],
        "route": scope.get("path_template", ""),
    }
    if "trace_id" in scope:
        about["trace_id"] = scope["trace_id"]
    _log.exception("unexpected failure", extra=about)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(
        status.value,
        status.phrase,
        f"something went wrong on the server; its log has more under {request_id}",
        "internal",
    )


def on_expected(_: Request[Any, Any, Any], error: ModelyardError) -> Response[bytes]:
    """A failure of ours."""
    return _response(problem(error), headers_of(error))


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """A failure that Litestar found: routing, parameters, the body's size."""
    if error.status_code >= 500:
        return on_unexpected(request, error)
    status = HTTPStatus(error.status_code)
    code = _CODES.get(error.status_code, "invalid")
    headers = {name: str(value) for name, value in (error.headers or {}).items()}
    return _response(Problem(status.value, status.phrase, _detail(request, error), code), headers)


def on_unexpected(request: Request[Any, Any, Any], _: Exception) -> Response[bytes]:
    """Anything else."""
    return _response(unexpected(request.scope), {})


def _detail(request: Request[Any, Any, Any], error: HTTPException) -> str:
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        parameters = request.scope["route_handler"].parsed_fn_signature.parameters
        return "; ".join(_field(each, parameters) for each in error.extra)[:1000]
    match error.status_code:
        case 404:
            return f"there is no route {request.scope['path'][:200]}"
        case 405:
            return f"this route does not take {request.method[:20]}"
        case 413:
            return "the body is over the bound for this route"
        case _:
            return error.detail[:1000]


def _field(each: Mapping[str, str], parameters: Mapping[str, FieldDefinition]) -> str:
    name = each.get("key", "")
    if name == "data":
        # Litestar does not even try to read an empty body.
        return EMPTY
    message = each["message"].replace("`", "'")
    if message.startswith("Invalid enum value") and name in parameters:
        message += choices(parameters[name].annotation)
    return f"parameter '{name}': {message}"


def _response(told: Problem, headers: dict[str, str]) -> Response[bytes]:
    return Response(
        encoded(told), status_code=told.status, media_type=PROBLEM_JSON, headers=headers
    )
