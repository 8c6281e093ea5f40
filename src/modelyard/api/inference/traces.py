"""What a trace says of an inference request over HTTP, by OpenTelemetry's conventions."""

from __future__ import annotations

from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.serving.tracing import Trace, Tracer


def begin_trace(tracer: Tracer, request: HttpRequest, route: str) -> Trace:
    """The request's trace. `route` is its path's template: of the path itself nothing is known
    yet, so nothing of it is told.
    """
    method = request.method
    attributes = {"http.request.method": method, "http.route": route, "url.scheme": "http"}
    return tracer.begin(f"{method} {route}", request.headers, attributes)


def tell_trace(trace: Trace, response: HttpResponse) -> None:
    """Tell the trace how the request was answered, and the client which trace it was."""
    trace.note({"http.response.status_code": int(response.status)})
    response.headers.append((b"traceparent", trace.parent.encode()))
