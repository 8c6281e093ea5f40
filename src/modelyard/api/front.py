"""The front door: every request passes here first.

Nothing goes on without a key but the two probes. The data plane is answered right here, mostly
for connections of our own (`connection`), else by ASGI; whatever else comes is handed to the
management app, with what the key grants in `scope["auth"]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from modelyard.api.asgi import App, Gone, Receive, Scope, Send, first_values, read_body, respond
from modelyard.api.authentication import Gate
from modelyard.api.capacity import Capacity, Holding
from modelyard.api.http import Headers, HttpRequest, HttpResponse
from modelyard.api.inference.failures import refusal
from modelyard.api.inference.openai.application import OpenAiApp
from modelyard.api.inference.routes import InferenceRoutes
from modelyard.api.statuses import PROBLEM_JSON, error_body, headers_of, problem, status_of
from modelyard.core.access import Grant, Permission, Visitor, require
from modelyard.core.errors import ModelyardError, Unauthenticated, Unavailable
from modelyard.serving.exchange import Exchange
from modelyard.serving.exposition import render
from modelyard.serving.service import InferenceService

_FOR_VISITORS: Final = ("/api/v1/sessions", "/api/v1/passwords")
"""What is asked without a key: by `POST` alone, with a password or an invitation in the body."""
_READABLE_BY_BROWSER: Final = ("/docs", "/docs/", "/openapi.json")


class Front:
    """The gateway's ASGI app. `management` has the rest of it, if it is set."""

    def __init__(
        self,
        service: InferenceService,
        inference: InferenceRoutes,
        metrics: Path,
        capacity: Capacity,
        *,
        max_request_bytes: int,
        openai: OpenAiApp,
        proxies: tuple[str, ...] = (),
    ) -> None:
        self.gate = Gate(service, proxies)
        self._capacity = capacity
        self._max_request_bytes = max_request_bytes
        self._service = service
        self._inference = inference
        self._metrics = metrics
        self._openai = openai
        self.management: App | None = None

    def answer(self, request: HttpRequest, done: Callable[[HttpResponse], None]) -> Exchange | None:
        """Answer one request to the data plane, now or later."""
        try:
            grant = self.gate.admit_caller(request.headers, request.peer)
        except ModelyardError as error:
            done(self._inference.refusal(request.path, error))
            return None
        return self._inference.answer(request, grant, done)

    def turn_away(self, headers: Headers, peer: str) -> HttpResponse | None:
        """The refusal of a request without a good key; None for one with it."""
        try:
            self.gate.admit_caller(headers, peer)
        except ModelyardError as error:
            return refusal(error)
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a connection that uvicorn speaks on."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        path: str = scope["path"]
        if path in ("/livez", "/readyz"):
            await self._probe(scope, send)
            return
        inference = path == "/" or path.startswith(("/v2", "/v1/"))
        try:
            auth = self._who(scope, path, inference=inference)
        except ModelyardError as error:
            if self._openai.speaks(path):
                await self._openai.refuse(scope, send, error)
            else:
                await _refuse(send, error, path, inference=inference)
            return
        if isinstance(auth, Visitor):
            await self._manage(scope, receive, send, auth)
        elif self._openai.takes(path):
            await self._openai.answer(scope, receive, send, auth)
        elif inference:
            await self._infer(scope, receive, send, auth)
        elif path == "/metrics":
            await self._tell_metrics(scope, send, auth)
        else:
            await self._manage(scope, receive, send, auth)

    def _who(self, scope: Scope, path: str, *, inference: bool) -> Grant | Visitor:
        """Who asks. Raises Unauthenticated, Forbidden, Invalid."""
        headers = first_values(scope["headers"])
        peer = scope["client"][0] if scope.get("client") else ""
        if inference:
            return self.gate.admit_caller(headers, peer)
        if scope["method"] == "POST" and path in _FOR_VISITORS:
            return Visitor(self.gate.address(headers, peer))
        reads = scope["method"] in ("GET", "HEAD")
        basic = reads and _in_documentation(path)
        return self.gate.admit(headers, peer, basic=basic, reads=reads)

    async def _infer(self, scope: Scope, receive: Receive, send: Send, grant: Grant) -> None:
        limit = self._max_request_bytes
        with self._capacity.hold() as holding:
            try:
                body = await read_body(scope["headers"], receive, limit, holding.grow_to)
            except Gone:
                return
            except ModelyardError as error:
                await _refuse(send, error, scope["path"], inference=True)
                return
            request = HttpRequest(
                scope["method"], scope["path"], first_values(scope["headers"]), body
            )
            response = await self._answered(request, receive, grant, holding)
        if response is not None:
            await _send(send, response)

    async def _answered(
        self, request: HttpRequest, receive: Receive, grant: Grant, holding: Holding
    ) -> HttpResponse | None:
        """The response, once it is there; None if the client goes before."""
        answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()

        def done(response: HttpResponse) -> None:
            if not answered.done():
                answered.set_result(response)

        exchange = self._inference.answer(request, grant, done)
        if not answered.done() and exchange is not None:
            # It may be larger than it came.
            holding.cover(len(request.body))
            await _answered_or_gone(answered, receive)
            if answered.cancelled():
                exchange.abandon()
                return None
        return await answered

    async def _probe(self, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await respond(
                send, HTTPStatus.METHOD_NOT_ALLOWED, b"{}", headers={"allow": "GET, HEAD"}
            )
        elif scope["path"] == "/livez" or self._service.ready:
            await respond(send, HTTPStatus.OK, b'{"status":"ok"}')
        else:
            await respond(
                send,
                HTTPStatus.SERVICE_UNAVAILABLE,
                b'{"status":"not ready"}',
                headers={"retry-after": "1"},
            )

    async def _tell_metrics(self, scope: Scope, send: Send, grant: Grant) -> None:
        """Numbers of the key's own tenant; the operator's key sees all."""
        if scope["method"] not in ("GET", "HEAD"):
            await respond(send, HTTPStatus.METHOD_NOT_ALLOWED, b"", headers={"allow": "GET, HEAD"})
            return
        try:
            require(grant, Permission.METRICS_READ)
        except ModelyardError as error:
            await _refuse(send, error, scope["path"], inference=False)
            return
        tenant = None if Permission.OPERATE in grant.permissions else grant.tenant_id
        text = await asyncio.to_thread(render, self._metrics, tenant)
        await respond(
            send, HTTPStatus.OK, text.encode(), "text/plain; version=0.0.4; charset=utf-8"
        )

    async def _manage(
        self, scope: Scope, receive: Receive, send: Send, auth: Grant | Visitor
    ) -> None:
        if self.management is None:
            error = Unavailable("this gateway has no management API")
            await _refuse(send, error, scope["path"], inference=False)
            return
        scope["auth"] = auth
        await self.management(scope, receive, send)


async def _disconnected(receive: Receive) -> None:
    # uvicorn may repeat the end of the body first.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answered_or_gone(answered: asyncio.Future[HttpResponse], receive: Receive) -> None:
    """Wait for the answer, or for the client to go away; `answered` is cancelled then."""
    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(lambda _: answered.cancel())
    try:
        await asyncio.wait([answered])
    finally:
        gone.cancel()


async def _send(send: Send, response: HttpResponse) -> None:
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", b"%d" % len(response.body)),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _in_documentation(path: str) -> bool:
    # A path that climbs out of the documentation is not in it.
    return path in _READABLE_BY_BROWSER or (path.startswith("/docs/") and ".." not in path)


async def _refuse(send: Send, error: ModelyardError, path: str, *, inference: bool) -> None:
    headers = headers_of(error)
    if isinstance(error, Unauthenticated) and _in_documentation(path):
        headers["www-authenticate"] = 'Basic realm="modelyard", charset="UTF-8"'
    if inference:
        await respond(send, status_of(error), error_body(error.message), headers=headers)
        return
    body = msgspec.json.encode(problem(error))
    await respond(send, status_of(error), body, PROBLEM_JSON, headers)
