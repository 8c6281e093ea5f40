"""The data plane's routes. Paths are matched by their parts: no framework, no regex."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import msgspec

from modelyard.api.capacity import Capacity
from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.api.inference import v2
from modelyard.api.inference.compression import compressed, decompressed
from modelyard.api.inference.extension_routes import ExtensionRoutes
from modelyard.api.inference.failures import not_allowed, refusal
from modelyard.api.inference.openai import embeddings
from modelyard.api.inference.openai.embeddings import EmbeddingCodec
from modelyard.api.inference.rate_limits import LimitHeaders, told_openai_limits
from modelyard.api.inference.timeouts import client_timeout
from modelyard.api.inference.traces import begin_trace, tell_trace
from modelyard.api.inference.v1 import V1Codec
from modelyard.api.inference.v2 import V2Codec
from modelyard.core import ids
from modelyard.core.access import Grant
from modelyard.core.errors import ModelyardError, NotFound
from modelyard.serving.exchange import Answer, Codec, Exchange
from modelyard.serving.service import InferenceService
from modelyard.serving.snapshot import Route
from modelyard.serving.traced_codec import TracedCodec
from modelyard.serving.tracing import Tracer

_PREDICT: Final = ":predict"
_EMBEDDINGS: Final = "/v1/embeddings"


class InferenceRoutes:
    """Open Inference Protocol v2 and KServe V1 over one inference service."""

    def __init__(
        self,
        service: InferenceService,
        extensions: ExtensionRoutes,
        capacity: Capacity,
        *,
        server_version: str,
        max_request_bytes: int,
        tracer: Tracer | None = None,
    ) -> None:
        self._extensions = extensions
        self._capacity = capacity
        self._service = service
        self._server_version = server_version
        self._max_request_bytes = max_request_bytes
        self._tracer = tracer
        self._request_ids = ids.IdSequence(ids.REQUEST)
        self._limit_headers = LimitHeaders()

    def answer(
        self, request: HttpRequest, grant: Grant, done: Callable[[HttpResponse], None]
    ) -> Exchange | None:
        """Answer one request whose key is good, now or later.

        Returns the exchange where there is one, so that it can be abandoned.
        """
        call = _call(request.path)
        if call is None:
            done(self._extensions.answer(request, grant) or self._description(request, grant))
            return None
        if request.method != "POST":
            done(not_allowed("POST"))
            return None
        return self._infer(call, request, grant, done)

    @staticmethod
    def refusal(path: str, error: ModelyardError) -> HttpResponse:
        """The answer to a request whose key is not good, in the protocol of its path."""
        return embeddings.refusal(error) if path == _EMBEDDINGS else refusal(error)

    def _infer(
        self,
        call: Call,
        request: HttpRequest,
        grant: Grant,
        done: Callable[[HttpResponse], None],
    ) -> Exchange | None:
        codec, name, trace = call.codec(request), call.name, None
        named = codec if isinstance(codec, EmbeddingCodec) else None
        if self._tracer is not None:
            trace = begin_trace(self._tracer, request, call.route)
            codec = TracedCodec(codec, trace)
        try:
            timeout = client_timeout(request.headers)
            decompressed(request, self._max_request_bytes, self._capacity)
            if named is not None:
                name = named.model
        except ModelyardError as error:
            response: HttpResponse = codec.fail(error).content
            if trace is not None:
                tell_trace(trace, response)
                trace.end(response.status)
            done(response)
            return None
        request_id = self._request_ids.next()

        def finish(answer: Answer, *, cached: bool) -> None:
            response = answer.content
            response.headers = [(b"x-request-id", request_id.encode()), *response.headers]
            if cached:
                response.headers.append((b"x-cache", b"hit"))
            if answer.limits:
                response.headers += self._limit_headers.standard(answer.limits)
                if named is not None:
                    response.headers += told_openai_limits(answer.limits)
            if trace is not None:
                tell_trace(trace, response)
            done(compressed(request, response))

        exchange = Exchange(
            self._service, grant, codec, request_id, finish, timeout=timeout, trace=trace
        )
        exchange.begin(name, call.version)
        return exchange

    def _description(self, request: HttpRequest, grant: Grant) -> HttpResponse:
        try:
            described = self._describe(grant, request.path)
        except ModelyardError as error:
            return refusal(error)
        if request.method not in ("GET", "HEAD"):
            return not_allowed("GET, HEAD")
        return HttpResponse(HTTPStatus.OK, msgspec.json.encode(described))

    def _describe(self, grant: Grant, path: str) -> dict[str, Any]:
        route = self._service.route
        described: dict[str, Any]
        match path.split("/")[1:]:
            case [""]:
                # How KServe V1 asks for the server's life.
                described = {"status": "alive"}
            case ["v2"] | ["v2", ""]:
                # The published description has it with a slash at its end.
                described = v2.server_metadata(self._server_version)
            case ["v2", "health", "live"]:
                described = {"live": True}
            case ["v2", "health", "ready"]:
                described = {"ready": self._service.ready}
            case ["v2", "models", name]:
                described = v2.model_metadata(name, route(grant, name))
            case ["v2", "models", name, "versions", version]:
                described = v2.model_metadata(name, route(grant, name, version))
            case ["v2", "models", name, "ready"]:
                described = _ready(name, route(grant, name))
            case ["v1", "models", name]:
                described = _ready(name, route(grant, name)) | _openai_model(name)
            case ["v2", "models", name, "versions", version, "ready"]:
                described = _ready(name, route(grant, name, version))
            case ["v1", "models"]:
                # KServe's clients read `models`, OpenAI's read `data`.
                names = list(self._service.routes(grant))
                data = [_openai_model(name) for name in names]
                described = {"models": names, "object": "list", "data": data}
            case _:
                raise NotFound("there is no such route")
        return described


class Call(msgspec.Struct, frozen=True):
    """An inference path, taken apart, its template, and the protocol that it speaks. The name is
    empty where it is not in the path.
    """

    name: str
    version: str | None
    codec: Callable[[HttpRequest], Codec]
    route: str


@lru_cache(maxsize=1024)
def _call(path: str) -> Call | None:
    """What an inference path asks for; None for any other path."""
    match path.split("/"):
        case ["", "v2", "models", name, "infer"]:
            return Call(name, None, V2Codec, "/v2/models/{model}/infer")
        case ["", "v2", "models", name, "versions", version, "infer"]:
            template = "/v2/models/{model}/versions/{version}/infer"
            return Call(name, version, V2Codec, template)
        case ["", "v1", "models", name] if name.endswith(_PREDICT):
            template = "/v1/models/{model}:predict"
            return Call(name[: -len(_PREDICT)], None, V1Codec, template)
        case ["", "v1", "embeddings"]:
            return Call("", None, EmbeddingCodec, _EMBEDDINGS)
    return None


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "modelyard"}


def _ready(name: str, _: Route) -> dict[str, Any]:
    return {"name": name, "ready": True}
