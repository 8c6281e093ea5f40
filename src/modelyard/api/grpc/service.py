"""`inference.GRPCInferenceService`: who may call, and what answers each method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message

from modelyard.api.authentication import Gate
from modelyard.api.grpc.calls import Context, InferenceCalls, peer_of, refuse
from modelyard.api.grpc.descriptions import Description, Descriptions
from modelyard.api.http import Headers
from modelyard.core.access import Grant
from modelyard.core.errors import Invalid, ModelyardError

SERVICE: Final = "/inference.GRPCInferenceService/"
_KEY_HEADERS: Final = frozenset(
    {"authorization", "x-api-key", "x-forwarded-for", "x-modelyard-tenant"}
)

Handler = Any  # grpc's RpcMethodHandler is a generic protocol of its message types


class GrpcService(grpc.GenericRpcHandler):
    """Finds the handler of a call whose key is good.

    Messages come and go as bytes as far as grpc is concerned: a call that has no good key is
    ended before its message is read.
    """

    def __init__(self, gate: Gate, inference: InferenceCalls, descriptions: Descriptions) -> None:
        self._gate = gate
        self._inference = inference
        self._descriptions = descriptions.by_method()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The call's handler; None for a method that does not exist."""
        headers = _presented(handler_call_details.invocation_metadata or ())
        try:
            grant = self._gate.recognise(headers)
        except ModelyardError as error:
            # As a stream, since grpc would read a single message before it asks the handler.
            return grpc.stream_stream_rpc_method_handler(partial(_refused, error))
        method = handler_call_details.method
        name = method.removeprefix(SERVICE)
        if name == method:
            return None
        if name == "ModelInfer":
            return _unary(self._from_there(grant, headers, partial(self._inference.infer, grant)))
        if name == "ModelStreamInfer":
            again = partial(self._gate.admit_caller, headers)
            return grpc.stream_stream_rpc_method_handler(
                partial(self._inference.stream, again), response_serializer=_serialized
            )
        description = self._descriptions.get(name)
        if description is None:
            return None
        return _unary(self._from_there(grant, headers, partial(_describe, description, grant)))

    def _from_there(
        self, grant: Grant, headers: Headers, behavior: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Answer only callers from where the key is good: only a call tells where it comes from."""
        return partial(self._answer, grant, headers, behavior) if grant.networks else behavior

    async def _answer(
        self,
        grant: Grant,
        headers: Headers,
        behavior: Callable[..., Any],
        message: bytes,
        context: Context,
    ) -> Message | None:
        try:
            self._gate.check_address(grant, headers, peer_of(context))
        except ModelyardError as error:
            await refuse(context, error)
            return None
        answer: Message | None = await behavior(message, context)
        return answer


def _unary(behavior: Callable[..., Any]) -> Handler:
    return grpc.unary_unary_rpc_method_handler(behavior, response_serializer=_serialized)


async def _refused(error: ModelyardError, _: Any, context: Context) -> None:
    await refuse(context, error)


async def _describe(
    description: Description[Any], grant: Grant, message: bytes, context: Context
) -> Message | None:
    try:
        return description.answer(grant, description.request.FromString(message))
    except DecodeError:
        await refuse(context, Invalid("the message is not the method's request"))
    except ModelyardError as error:
        await refuse(context, error)
    return None


def _presented(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    headers: dict[bytes, bytes] = {}
    for name, value in metadata:
        if name in _KEY_HEADERS and isinstance(value, str):
            headers.setdefault(name.encode(), value.encode())
    return headers


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
