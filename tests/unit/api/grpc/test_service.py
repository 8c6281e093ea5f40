"""Who may call, what the other methods say, and how the server ends."""

from __future__ import annotations

import asyncio
import json

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.core.access import Scope
from tests.dataplane import LIMIT
from tests.unit.api.grpc.conftest import KEY, Dialled, asking, counting

(INFERENCE,) = messages.DESCRIPTOR.services_by_name.values()
METHODS = [each.name for each in INFERENCE.methods]


@pytest.mark.asyncio
@pytest.mark.parametrize("method", [*METHODS, "NoSuchMethod"])
@pytest.mark.parametrize("key", [None, "my_unknown", "x" * 600], ids=["none", "unknown", "long"])
async def test_nothing_is_answered_without_a_key(
    dialled: Dialled, method: str, key: str | None
) -> None:
    call = dialled.call(method, asking(rows=LIMIT // 16), key)
    assert await call.code() is StatusCode.UNAUTHENTICATED
    assert dialled.gateway.events() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("method", [each for each in METHODS if "Infer" not in each])
async def test_every_method_answers_or_says_why_not(dialled: Dialled, method: str) -> None:
    code = await dialled.call(method, b"").code()
    allowed = {StatusCode.OK, StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT}
    assert code in allowed
    assert await dialled.call(method, b"\xff\xff").code() is StatusCode.INVALID_ARGUMENT


@pytest.mark.asyncio
async def test_a_method_that_does_not_exist(dialled: Dialled) -> None:
    assert await dialled.call("NoSuchMethod", b"").code() is StatusCode.UNIMPLEMENTED
    other: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    other = dialled.channel.unary_unary("/other.Service/ModelInfer")
    call = other(b"", metadata=(("authorization", f"Bearer {KEY}"),))
    assert await call.code() is StatusCode.UNIMPLEMENTED


@pytest.mark.asyncio
async def test_the_key_may_come_in_its_own_header(dialled: Dialled) -> None:
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    method = dialled.channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
    said = await method(b"", metadata=(("x-api-key", KEY),))
    assert messages.ServerReadyResponse.FromString(said).ready


@pytest.mark.asyncio
async def test_columns_are_named(dialled: Dialled) -> None:
    said = await dialled.call("ModelMetadata", messages.ModelMetadataRequest(name="table"))
    (features,) = messages.ModelMetadataResponse.FromString(said).inputs
    columns = json.loads(features.parameters["columns"].string_param)
    assert columns == ["age", "income", "member"]
    assert features.parameters["nullable"].bool_param


@pytest.mark.asyncio
async def test_a_model_is_ready_or_not(dialled: Dialled) -> None:
    async def ready(name: str, version: str = "") -> bool:
        request = messages.ModelReadyRequest(name=name, version=version)
        said = await dialled.call("ModelReady", request)
        return messages.ModelReadyResponse.FromString(said).ready

    assert await ready("table")
    assert await ready("table", "1")
    assert not await ready("table", "2")
    assert not await ready("nothing")


@pytest.mark.asyncio
async def test_the_index_tells_what_does_not_serve(dialled: Dialled) -> None:
    dialled.gateway.publish({("tnt_1", "broken"): "it is broken"})
    said = await dialled.call("RepositoryIndex", b"")
    models = {
        each.name: (each.version, each.state, each.reason)
        for each in messages.RepositoryIndexResponse.FromString(said).models
    }
    assert models["table"] == ("1", "READY", "")
    assert models["broken"] == ("", "UNAVAILABLE", "it is broken")
    said = await dialled.call("RepositoryIndex", messages.RepositoryIndexRequest(ready=True))
    ready = [each.name for each in messages.RepositoryIndexResponse.FromString(said).models]
    assert "table" in ready
    assert "broken" not in ready
    load = messages.RepositoryModelLoadRequest(model_name="broken")
    call = dialled.call("RepositoryModelLoad", load)
    assert await call.code() is StatusCode.UNAVAILABLE
    assert "it is broken" in (await call.details() or "")


@pytest.mark.asyncio
async def test_a_wider_key_is_good_too(dialled: Dialled) -> None:
    dialled.gateway.key("my_manager", Scope.MANAGE)
    dialled.gateway.publish()
    assert (await dialled.infer(asking(), "my_manager")).model_name == "echo-fp32"


@pytest.mark.asyncio
async def test_it_stops_once_what_is_under_way_has_ended(dialled: Dialled) -> None:
    under_way = asyncio.create_task(dialled.infer(counting(200_000)))
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(dialled.server.stop(30))
    answer = await under_way
    assert np.frombuffer(answer.raw_output_contents[0], np.int64).tolist() == [200_000]
    await stopping
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await dialled.infer(asking())
    assert told.value.code() is StatusCode.UNAVAILABLE
