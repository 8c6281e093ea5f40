"""A trace for each request to the management API, by OpenTelemetry's conventions."""

from __future__ import annotations

from http import HTTPStatus

from modelyard.api.asgi import App, Message, Receive, Scope, Send, first_values
from modelyard.core.access import Grant
from modelyard.serving.tracing import Tracer


class TracedApp:
    """Wraps the application; the route's template is known only after it has answered."""

    def __init__(self, app: App, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, grant = scope["method"], scope["auth"]
        trace = self._tracer.begin(
            method,
            first_values(scope["headers"]),
            {"http.request.method": method, "url.scheme": "http", **_caller(grant)},
        )
        # Whatever ends without an answer has failed.
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        scope["trace_id"] = trace.id

        async def send_with_parent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"traceparent", trace.parent.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_with_parent)
        finally:
            if route := scope.get("path_template"):
                trace.rename(f"{method} {route}")
                trace.note({"http.route": route})
            trace.note({"http.response.status_code": status})
            trace.end(status)


def _caller(grant: Grant) -> dict[str, str]:
    return {"modelyard.tenant.id": grant.tenant_id, "modelyard.key.id": grant.key_id}
