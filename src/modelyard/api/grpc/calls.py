"""`ModelInfer` and `ModelStreamInfer`: exchanges over gRPC calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from grpc.aio import EOF, ServicerContext

from modelyard.api.capacity import Capacity
from modelyard.api.grpc.codec import GrpcCodec
from modelyard.api.grpc.generated.inference_pb2 import (
    ModelInferResponse,
    ModelStreamInferResponse,
)
from modelyard.api.grpc.statuses import code_of, metadata_of
from modelyard.api.grpc.traces import begin_trace, tell_trace
from modelyard.api.inference.rate_limits import LimitHeaders
from modelyard.api.statuses import status_of
from modelyard.core import ids
from modelyard.core.access import Grant
from modelyard.core.errors import ModelyardError, Unavailable
from modelyard.serving.exchange import Answer, Exchange
from modelyard.serving.service import InferenceService
from modelyard.serving.traced_codec import TracedCodec
from modelyard.serving.tracing import Trace, Tracer

if TYPE_CHECKING:
    from modelyard.api.grpc.statuses import Metadata

WINDOW: Final = 32
"""Requests of one stream that may be under way; the client's next ones wait in its own buffers."""

Context = ServicerContext[Any, Any]
Admit = Callable[[str], Grant]
"""Whom a stream's key lets in, now, from an address. Raises as `Gate.admit_caller` does."""


def peer_of(context: Context) -> str:
    """The caller's address, of `ipv4:127.0.0.1:50051` or `ipv6:%5B::1%5D:50051`."""
    _, _, rest = context.peer().partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]")


async def refuse(context: Context, error: ModelyardError, *more: tuple[str, str]) -> None:
    """End the call with the error's status."""
    await context.abort(code_of(error), error.message, (*more, *metadata_of(error)))


class Call:
    """One request that is under way. `answer` is always given a result, unless it is abandoned."""

    def __init__(
        self, request_id: str, size: int, limit_headers: LimitHeaders, trace: Trace | None = None
    ) -> None:
        self.request_id = request_id
        self._limit_headers = limit_headers
        self.size = size
        self.trace = trace
        self.codec: GrpcCodec | None = None
        self.exchange: Exchange | None = None
        self.cached = False
        self._limits: Metadata = ()
        self.answer: asyncio.Future[ModelInferResponse | ModelyardError] = (
            asyncio.get_running_loop().create_future()
        )

    def done(self, answer: Answer, *, cached: bool) -> None:
        """The exchange's own end."""
        self.cached = cached
        if answer.limits:
            headers = self._limit_headers.standard(answer.limits)
            self._limits = tuple((name.decode(), value.decode()) for name, value in headers)
        if self.trace is not None:
            tell_trace(self.trace, answer.content)
        if not self.answer.done():
            self.answer.set_result(answer.content)

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        self.answer.cancel()
        if self.exchange is not None:
            self.exchange.abandon()

    @property
    def metadata(self) -> Metadata:
        """What is said about the answer."""
        said: Metadata = (("x-request-id", self.request_id),)
        if self.trace is not None:
            said = (*said, ("traceparent", self.trace.parent))
        said = (*said, *self._limits)
        return (*said, ("x-cache", "hit")) if self.cached else said


class InferenceCalls:
    """Begins exchanges and brings their answers back, one to a call or many to a stream."""

    def __init__(
        self,
        plane: InferenceService,
        capacity: Capacity,
        *,
        max_request_bytes: int,
        tracer: Tracer | None = None,
    ) -> None:
        self._plane = plane
        self._capacity = capacity
        self._tracer = tracer
        self._max_request_bytes = max_request_bytes
        self._request_ids = ids.IdSequence(ids.REQUEST)
        self._limit_headers = LimitHeaders()
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def infer(
        self, grant: Grant, message: bytes, context: Context
    ) -> ModelInferResponse | None:
        """Answer one request."""
        call = self._begin("ModelInfer", grant, message, context)
        try:
            answer = await call.answer
        except asyncio.CancelledError:
            # The client has gone, or its deadline has passed.
            call.abandon()
            raise
        if isinstance(answer, ModelyardError):
            await refuse(context, answer, *call.metadata)
            return None
        context.set_trailing_metadata(call.metadata)
        return answer

    async def stream(self, admit: Admit, _: Any, context: Context) -> None:
        """Answer the requests of a stream in their order, several being under way at a time.

        The key is asked about at every request: a stream may outlive it. One that is still open
        when the server stops ends once it has its answers.
        """
        calls: deque[Call] = deque()
        reading: asyncio.Task[Any] | None = None
        ended, peer = False, peer_of(context)
        try:
            while not (ended and not calls):
                if reading is None and not ended and self._has_room(calls):
                    reading = asyncio.ensure_future(context.read())
                await _first_of(calls, reading, None if ended else self._stopping)
                if reading is not None and reading.done():
                    message, reading = reading.result(), None
                    if message is EOF:
                        ended = True
                    else:
                        grant = admit(peer)
                        calls.append(self._begin("ModelStreamInfer", grant, message, context))
                ended = ended or self._stopping.done()
                while calls and calls[0].answer.done():
                    await context.write(_streamed(calls.popleft()))
            if self._stopping.done():
                raise Unavailable("this gateway is stopping; send the rest again")
        except ModelyardError as error:
            await refuse(context, error)
        finally:
            if reading is not None:
                reading.cancel()
            for call in calls:
                call.abandon()

    def stop(self) -> None:
        """Read no more from the streams that are open."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    def _has_room(self, calls: deque[Call]) -> bool:
        held = sum(call.size for call in calls)
        return len(calls) < WINDOW and held < self._max_request_bytes

    def _begin(self, method: str, grant: Grant, message: bytes, context: Context) -> Call:
        trace = None
        if self._tracer is not None:
            trace = begin_trace(self._tracer, method, context.invocation_metadata() or ())
        call = Call(self._request_ids.next(), len(message), self._limit_headers, trace)
        holding = self._capacity.hold()
        call.answer.add_done_callback(lambda _: holding.release())
        seconds = context.time_remaining()
        try:
            holding.grow_to(len(message))
            codec = GrpcCodec(message, seconds)
        except ModelyardError as error:
            if trace is not None:
                tell_trace(trace, error)
                trace.end(status_of(error))
            call.answer.set_result(error)
            return call
        call.codec = codec
        call.exchange = Exchange(
            self._plane,
            grant,
            codec if trace is None else TracedCodec(codec, trace),
            call.request_id,
            call.done,
            timeout=seconds,
            trace=trace,
        )
        call.exchange.begin(codec.request.model_name, codec.request.model_version or None)
        return call


async def _first_of(
    calls: deque[Call], reading: asyncio.Task[Any] | None, stopping: asyncio.Future[None] | None
) -> None:
    """Wait until there is something to do for a stream."""
    head = calls[0].answer if calls else None
    waits = {each for each in (head, reading, stopping) if each is not None}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


def _streamed(call: Call) -> ModelStreamInferResponse:
    answer = call.answer.result()
    if not isinstance(answer, ModelyardError):
        return ModelStreamInferResponse(infer_response=answer)
    # Whose error it is: clients match answers to their requests by the id.
    about = ModelInferResponse()
    if call.codec is not None:
        request = call.codec.request
        about.model_name, about.model_version = request.model_name, request.model_version
        about.id = request.id
    return ModelStreamInferResponse(error_message=answer.message, infer_response=about)
