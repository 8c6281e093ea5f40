"""Failures as both inference protocols tell them over HTTP: `{"error": ...}`."""

from __future__ import annotations

from http import HTTPStatus

from modelyard.api.http import HttpResponse
from modelyard.api.statuses import error_body, headers_of, status_of
from modelyard.core.errors import ModelyardError
from modelyard.serving.exchange import Answer


def failure(error: ModelyardError) -> Answer:
    """The failure as the answer to an exchange."""
    response = refusal(error)
    return Answer(response.status, response, len(response.body))


def refusal(error: ModelyardError) -> HttpResponse:
    """The failure as a response."""
    headers = [(name.encode(), value.encode()) for name, value in headers_of(error).items()]
    return HttpResponse(status_of(error), error_body(error.message), headers=headers)


def not_allowed(allow: str) -> HttpResponse:
    """The answer to a method that a route does not take."""
    body = error_body(f"this route takes {allow}")
    headers = [(b"allow", allow.encode())]
    return HttpResponse(HTTPStatus.METHOD_NOT_ALLOWED, body, headers=headers)
