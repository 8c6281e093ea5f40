"""The OpenAI routes that stream, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from modelyard.api.asgi import Gone, Receive, Scope, Send, first_values, pusher, read_body
from modelyard.api.http import Headers
from modelyard.api.inference.openai.chat import ChatAnswer
from modelyard.api.inference.openai.completions import CompletionAnswer
from modelyard.api.inference.openai.relaying import relayed_chat, relayed_completion
from modelyard.api.inference.openai.reply import Reply
from modelyard.api.inference.openai.requests import ChatRequest, CompletionRequest, read_request
from modelyard.api.inference.openai.responses import ResponseAnswer
from modelyard.api.inference.openai.responses_request import ResponsesRequest
from modelyard.api.inference.openai.writing import encode, refuse, refuse_method
from modelyard.api.inference.rate_limits import LimitHeaders, told_openai_limits
from modelyard.api.inference.timeouts import client_timeout
from modelyard.core import ids
from modelyard.core.access import Grant
from modelyard.core.errors import ModelyardError
from modelyard.serving.language.calling import CallingEdge
from modelyard.serving.language.exchange import Edge, Plane, TextExchange
from modelyard.serving.language.generation import Generation
from modelyard.serving.language.relayed import Relayed, is_relay

MAX_BODY: Final = 4 << 20
"""Bytes of a request: many times what any context holds."""

Begin = Callable[[Grant, bytes, Headers, Reply, str], TextExchange]


class OpenAiApp:
    """Answers requests whose key is good."""

    def __init__(self, plane: Plane, *, max_request_bytes: int) -> None:
        self._plane = plane
        self._max_body = min(MAX_BODY, max_request_bytes)
        self._request_ids = ids.IdSequence(ids.REQUEST)
        self._limit_headers = LimitHeaders()
        self._routes: dict[str, Begin] = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/responses": self._respond,
        }

    def takes(self, path: str) -> bool:
        """Whether this is one of its routes."""
        return path in self._routes

    def speaks(self, path: str) -> bool:
        """Whether answers of this route have OpenAI's form."""
        return self.takes(path) or path == "/v1/embeddings"

    async def refuse(self, scope: Scope, send: Send, error: ModelyardError) -> None:
        """Answer a request that may not be answered."""
        reply = Reply(self._request_ids.next(), pusher(scope))
        refuse(reply, error)
        await reply.send(send)

    async def answer(self, scope: Scope, receive: Receive, send: Send, grant: Grant) -> None:
        """Answer one request."""
        request_id = self._request_ids.next()
        reply = Reply(request_id, pusher(scope))
        exchange: TextExchange | None = None
        try:
            if scope["method"] != "POST":
                refuse_method(reply)
                await reply.send(send)
                return
            body = await read_body(scope["headers"], receive, self._max_body)
            headers: Headers = first_values(scope["headers"])
            begin = self._routes[scope["path"]]
            exchange = begin(grant, body, headers, reply, request_id)
            standing = exchange.standing
            told = self._limit_headers.standard(standing)
            for name, value in (*told, *told_openai_limits(standing)):
                # Nothing has been sent yet: the loop has not gone round.
                reply.header(name, value)
        except Gone:
            return
        except ModelyardError as error:
            refuse(reply, error)
        await _send_or_abandon(reply, exchange, receive, send)

    def _chat(
        self, grant: Grant, body: bytes, headers: Headers, reply: Reply, request_id: str
    ) -> TextExchange:
        request = read_request(body, ChatRequest)
        edge = ChatAnswer(request, reply, len(body), request_id)
        return self._converse(grant, request, body, headers, edge, request_id)

    def _respond(
        self, grant: Grant, body: bytes, headers: Headers, reply: Reply, request_id: str
    ) -> TextExchange:
        request = read_request(body, ResponsesRequest)
        edge = ResponseAnswer(request, reply, len(body), request_id)
        return self._converse(grant, request.chat(), None, headers, edge, request_id)

    def _converse(
        self,
        grant: Grant,
        chat: ChatRequest,
        body: bytes | None,
        headers: Headers,
        edge: Edge,
        request_id: str,
    ) -> TextExchange:
        """Begin a chat. `body` is how it came, if it came as one."""
        timeout = client_timeout(headers)
        route = self._plane.route(grant, chat.model)
        asked: Relayed | list[Generation]
        if is_relay(route.runtime):
            asked = relayed_chat(chat, body or encode(chat), headers)
        else:
            asked = chat.generations()
            if chat.uses_tools:
                edge = CallingEdge(edge, request_id, chat.choices, structured=chat.structured)
        exchange = TextExchange(self._plane, grant, edge, request_id, timeout=timeout)
        exchange.begin(route, asked, chat.choices)
        return exchange

    def _complete(
        self, grant: Grant, body: bytes, headers: Headers, reply: Reply, request_id: str
    ) -> TextExchange:
        request, timeout = read_request(body, CompletionRequest), client_timeout(headers)
        route = self._plane.route(grant, request.model)
        elsewhere = is_relay(route.runtime)
        asked = relayed_completion(request, body, headers) if elsewhere else request.generations()
        choices = len(request.prompts()) * request.choices
        edge = CompletionAnswer(request, reply, len(body), request_id, choices)
        exchange = TextExchange(self._plane, grant, edge, request_id, timeout=timeout)
        exchange.begin(route, asked, request.choices)
        return exchange


async def _send_or_abandon(
    reply: Reply, exchange: TextExchange | None, receive: Receive, send: Send
) -> None:
    """Send the reply; if the client goes away first, stop generating for it."""
    sending = asyncio.ensure_future(reply.send(send))
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        elif exchange is not None:
            exchange.abandon()
    finally:
        gone.cancel()
        sending.cancel()
        if exchange is not None:
            exchange.abandon()


async def _disconnected(receive: Receive) -> None:
    # uvicorn may repeat the end of the body first.
    while (await receive())["type"] != "http.disconnect":
        pass
