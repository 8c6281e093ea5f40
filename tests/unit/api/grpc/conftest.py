"""A real gRPC server on a loopback port, around one gateway's data plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest_asyncio
from google.protobuf.message import Message

from modelyard.api.grpc.application import make_grpc_server
from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.api.grpc.server import GrpcServer
from modelyard.api.grpc.service import SERVICE
from modelyard.core.tensors import Datatype
from modelyard.serving.options import ServingOptions
from tests.batching import looping
from tests.dataplane import LIMIT, OTHER_TENANT, Gateway, echo, several, table

KEY = "my_caller"
STRANGER = "my_stranger"


class Dialled:
    """A gateway, its gRPC server, and a channel to it."""

    def __init__(self, gateway: Gateway, server: GrpcServer, channel: grpc.aio.Channel) -> None:
        self.gateway = gateway
        self.server = server
        self.channel = channel

    def call(
        self, method: str, message: Message | bytes, key: str | None = KEY, **more: Any
    ) -> grpc.aio.UnaryUnaryCall[bytes, bytes]:
        """The call; what comes back are the response's bytes."""
        sent = message if isinstance(message, bytes) else message.SerializeToString()
        calls: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        calls = self.channel.unary_unary(SERVICE + method)
        return calls(sent, metadata=headers(key), **more)

    async def infer(
        self, request: messages.ModelInferRequest, key: str | None = KEY, **more: Any
    ) -> messages.ModelInferResponse:
        said = await self.call("ModelInfer", request, key, **more)
        return messages.ModelInferResponse.FromString(said)

    def stream(self, key: str | None = KEY) -> grpc.aio.StreamStreamCall[bytes, bytes]:
        return self.channel.stream_stream(SERVICE + "ModelStreamInfer")(metadata=headers(key))


def headers(key: str | None) -> tuple[tuple[str, str], ...]:
    return () if key is None else (("authorization", f"Bearer {key}"),)


def asking(model: str = "echo-fp32", rows: int = 1, **more: Any) -> messages.ModelInferRequest:
    """A request of rows of two FP32 values, counted up, raw."""
    request = messages.ModelInferRequest(model_name=model, **more)
    request.inputs.add(name="x", datatype="FP32", shape=[rows, 2])
    request.raw_input_contents.append(np.arange(2 * rows, dtype=np.float32).tobytes())
    return request


def counting(times: int) -> messages.ModelInferRequest:
    """A request that takes as long as one likes."""
    request = messages.ModelInferRequest(model_name="looping")
    given = request.inputs.add(name="times", datatype="INT64", shape=[1])
    given.contents.int64_contents.append(times)
    return request


@pytest_asyncio.fixture
async def dialled(tmp_path: Path) -> AsyncIterator[Dialled]:
    gateway = Gateway(tmp_path)
    gateway.key(KEY)
    gateway.key(STRANGER, tenant=OTHER_TENANT)
    gateway.deploy(*(echo(each) for each in Datatype if each is not Datatype.BF16))
    gateway.deploy(several(), table())
    gateway.deploy(looping(), inline_rows=0, options=ServingOptions(max_queue=2, max_batch_size=1))
    gateway.publish()
    server = make_grpc_server(
        gateway.service,
        gateway.extensions,
        gateway.capacity,
        server_version="0.0.0",
        max_request_bytes=LIMIT,
    )
    port = await server.start("127.0.0.1", 0)
    unbounded = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=unbounded) as channel:
        yield Dialled(gateway, server, channel)
    await server.stop(0)
    await gateway.close()
