"""`inference.GRPCInferenceService`: who may call, and what answers each method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message

from modelyard.api.authentication import authenticate, presented_key
from modelyard.api.grpc.calls import Context, InferenceCalls, refuse
from modelyard.api.grpc.descriptions import Description, Descriptions
from modelyard.core.access import Grant, Permission, require
from modelyard.core.errors import Invalid, ModelyardError
from modelyard.serving.service import InferenceService

SERVICE: Final = "/inference.GRPCInferenceService/"
_KEY_HEADERS: Final = frozenset({"authorization", "x-api-key"})

Handler = Any  # grpc's RpcMethodHandler is a generic protocol of its message types


class GrpcService(grpc.GenericRpcHandler):
    """Finds the handler of a call whose key is good.

    Messages come and go as bytes as far as grpc is concerned: a call that has no good key is
    ended before its message is read.
    """

    def __init__(
        self, plane: InferenceService, inference: InferenceCalls, descriptions: Descriptions
    ) -> None:
        self._plane = plane
        self._inference = inference
        self._descriptions = descriptions.by_method()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The call's handler; None for a method that does not exist."""
        secret = _presented(handler_call_details.invocation_metadata or ()) or b""
        try:
            grant = authenticate(self._plane, secret)
            require(grant, Permission.INFER)
        except ModelyardError as error:
            # As a stream, since grpc would read a single message before it asks the handler.
            return grpc.stream_stream_rpc_method_handler(partial(_refused, error))
        method = handler_call_details.method
        name = method.removeprefix(SERVICE)
        if name == method:
            return None
        if name == "ModelInfer":
            return _unary(partial(self._inference.infer, grant))
        if name == "ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(
                partial(self._inference.stream, secret), response_serializer=_serialized
            )
        description = self._descriptions.get(name)
        return None if description is None else _unary(partial(_describe, description, grant))


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


def _presented(metadata: Iterable[tuple[str, str | bytes]]) -> bytes | None:
    headers: dict[bytes, bytes] = {}
    for name, value in metadata:
        if name in _KEY_HEADERS and isinstance(value, str):
            headers.setdefault(name.encode(), value.encode())
    return presented_key(headers)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
