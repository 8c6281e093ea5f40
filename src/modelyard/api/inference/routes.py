"""The data plane's routes. A dictionary look-up and string comparisons: no framework, no regex."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from modelyard.api.asgi import Gone, Headers, Receive, Scope, Send, read_body, respond
from modelyard.api.inference import v1, v2
from modelyard.api.statuses import error_body, headers_of, status_of
from modelyard.core import ids
from modelyard.core.access import Grant
from modelyard.core.errors import Invalid, ModelyardError, NotFound, UnsupportedFormat
from modelyard.core.events import PredictionMade
from modelyard.serving.ports import Journal
from modelyard.serving.service import InferenceService
from modelyard.serving.snapshot import Route

_log = logging.getLogger(__name__)

_PREDICT: Final = ":predict"


class Answered(msgspec.Struct):
    """What became of one inference request."""

    status: int
    body: bytes
    rows: int = 0
    headers: dict[str, str] | None = None


class Call(msgspec.Struct):
    """An inference path, taken apart, and the protocol that answers it."""

    name: str
    version: str | None
    protocol: Callable[[Route, bytes], Awaitable[Answered]]


class InferenceRoutes:
    """Open Inference Protocol v2 and KServe V1 over one inference service."""

    def __init__(
        self,
        service: InferenceService,
        journal: Journal,
        *,
        server_version: str,
        max_request_bytes: int,
    ) -> None:
        self._service = service
        self._journal = journal
        self._server_version = server_version
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send, grant: Grant) -> None:
        """Answer one request whose key is good."""
        call = self._call(scope["path"])
        if call is None:
            await self._describe(scope, send, grant)
            return
        if scope["method"] != "POST":
            await _not_allowed(send, "POST")
            return
        request_id = ids.new_id(ids.REQUEST)
        answered = await self._answer(call, scope["headers"], receive, grant, request_id)
        if answered is not None:
            headers = {"x-request-id": request_id, **(answered.headers or {})}
            await respond(send, answered.status, answered.body, headers=headers)

    def _call(self, path: str) -> Call | None:
        """What an inference path asks for; None for any other path."""
        match path.split("/"):
            case ["", "v2", "models", name, "infer"]:
                return Call(name, None, self._infer_v2)
            case ["", "v2", "models", name, "versions", version, "infer"]:
                return Call(name, version, self._infer_v2)
            case ["", "v1", "models", name] if name.endswith(_PREDICT):
                return Call(name[: -len(_PREDICT)], None, self._predict_v1)
        return None

    async def _answer(
        self, call: Call, headers: Headers, receive: Receive, grant: Grant, request_id: str
    ) -> Answered | None:
        """Answer and record it; None when the client has gone before its request was whole."""
        at, start = time.time_ns() // 1000, time.perf_counter_ns()
        route, body = None, b""
        try:
            _check_headers(headers)
            route = self._service.route(grant, call.name, call.version)
            body = await read_body(headers, receive, self._max_request_bytes)
            answered = await call.protocol(route, body)
        except Gone:
            return None
        except ModelyardError as error:
            answered = _failed(error)
        except Exception:  # noqa: BLE001 - the last line before the socket
            _log.exception("inference failed unexpectedly", extra={"request_id": request_id})
            answered = Answered(500, error_body(f"internal error; request id {request_id}"))
        if route is None:
            return answered
        duration = (time.perf_counter_ns() - start) // 1000
        event = PredictionMade(
            request_id,
            at,
            grant.tenant_id,
            grant.key_id,
            route.wanted.name,
            route.wanted.model,
            route.wanted.version,
            answered.status,
            answered.rows,
            len(body),
            len(answered.body),
            duration,
        )
        try:
            await self._journal.append(event)
        except ModelyardError as error:
            # What cannot be recorded is not given away.
            answered = _failed(error)
        route.metrics.observe(answered.status, duration)
        return answered

    async def _infer_v2(self, route: Route, body: bytes) -> Answered:
        request_id, inputs, wanted = v2.decode_request(body, route)
        rows, outputs = await self._service.infer(route, inputs)
        return Answered(200, v2.encode_response(route, request_id, outputs, wanted), rows)

    async def _predict_v1(self, route: Route, body: bytes) -> Answered:
        inputs = v1.decode_request(body, route)
        rows, outputs = await self._service.infer(route, inputs)
        return Answered(200, v1.encode_response(route, outputs), rows)

    async def _describe(self, scope: Scope, send: Send, grant: Grant) -> None:
        try:
            described = self._description(grant, scope["path"])
        except ModelyardError as error:
            await respond(
                send, status_of(error), error_body(error.message), headers=headers_of(error)
            )
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _not_allowed(send, "GET, HEAD")
            return
        await respond(send, HTTPStatus.OK, msgspec.json.encode(described))

    def _description(self, grant: Grant, path: str) -> dict[str, Any]:
        route = self._service.route
        described: dict[str, Any]
        match path.split("/")[1:]:
            case [""]:
                # How KServe V1 asks for the server's life.
                described = {"status": "alive"}
            case ["v2"]:
                described = v2.server_metadata(self._server_version)
            case ["v2", "health", "live"]:
                described = {"live": True}
            case ["v2", "health", "ready"]:
                described = {"ready": self._service.ready}
            case ["v2", "models", name]:
                described = v2.model_metadata(route(grant, name))
            case ["v2", "models", name, "versions", version]:
                described = v2.model_metadata(route(grant, name, version))
            case ["v2", "models", name, "ready"] | ["v1", "models", name]:
                described = _ready(route(grant, name))
            case ["v2", "models", name, "versions", version, "ready"]:
                described = _ready(route(grant, name, version))
            case ["v1", "models"]:
                names = [each.wanted.name for each in self._service.routes(grant)]
                described = {"models": names}
            case _:
                raise NotFound("there is no such route")
        return described


def _ready(route: Route) -> dict[str, Any]:
    return {"name": route.wanted.name, "ready": True}


def _check_headers(headers: Headers) -> None:
    for name, value in headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            raise UnsupportedFormat("the body must not be compressed")
        if name == b"inference-header-content-length":
            raise Invalid("binary tensor data is not supported yet: send the tensors as JSON")


def _failed(error: ModelyardError) -> Answered:
    return Answered(status_of(error), error_body(error.message), headers=headers_of(error))


async def _not_allowed(send: Send, allow: str) -> None:
    body = error_body(f"this route takes {allow}")
    await respond(send, HTTPStatus.METHOD_NOT_ALLOWED, body, headers={"allow": allow})
