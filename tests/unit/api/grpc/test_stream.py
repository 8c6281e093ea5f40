"""ModelStreamInfer over a real channel."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc import StatusCode

from modelyard.api.grpc.calls import WINDOW
from modelyard.api.grpc.generated.inference_pb2 import ModelStreamInferResponse
from tests.unit.api.grpc.conftest import KEY, Dialled, asking, counting

pytestmark = pytest.mark.asyncio

Stream = grpc.aio.StreamStreamCall[bytes, bytes]


async def next_of(stream: Stream) -> ModelStreamInferResponse:
    said = await stream.read()
    assert isinstance(said, bytes), "the stream has ended"
    return ModelStreamInferResponse.FromString(said)


async def test_answers_come_in_the_order_of_the_requests(dialled: Dialled) -> None:
    stream = dialled.stream()
    await stream.write(counting(20_000).SerializeToString())
    ids = [str(at) for at in range(3 * WINDOW)]

    async def send() -> None:
        for each in ids:
            await stream.write(asking(id=each).SerializeToString())
        await stream.done_writing()

    sending = asyncio.create_task(send())
    assert (await next_of(stream)).infer_response.model_name == "looping"
    assert [(await next_of(stream)).infer_response.id for _ in ids] == ids
    await sending
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is StatusCode.OK
    assert len(dialled.gateway.events()) == len(ids) + 1


async def test_an_error_is_told_and_the_stream_goes_on(dialled: Dialled) -> None:
    stream = dialled.stream()
    for message in (
        asking("nothing", id="a").SerializeToString(),
        b"\xff\xff",
        asking(id="b").SerializeToString(),
    ):
        await stream.write(message)
    unknown = await next_of(stream)
    assert unknown.error_message == "there is no deployment 'nothing'"
    assert (unknown.infer_response.id, unknown.infer_response.model_name) == ("a", "nothing")
    assert "ModelInferRequest" in (await next_of(stream)).error_message
    assert (await next_of(stream)).infer_response.id == "b"
    await stream.done_writing()
    assert await stream.code() is StatusCode.OK


async def test_a_stream_ends_with_its_key(dialled: Dialled) -> None:
    stream = dialled.stream()
    await stream.write(asking().SerializeToString())
    assert (await next_of(stream)).error_message == ""
    dialled.gateway.revoke(KEY)
    dialled.gateway.publish()
    await stream.write(asking().SerializeToString())
    assert await stream.code() is StatusCode.UNAUTHENTICATED


async def test_a_cancelled_stream_leaves_the_model(dialled: Dialled) -> None:
    stream = dialled.stream()
    await stream.write(counting(1 << 40).SerializeToString())
    await stream.write(counting(1 << 40).SerializeToString())
    await asyncio.sleep(0.1)
    stream.cancel()
    answer = await dialled.infer(counting(3), timeout=20)
    assert answer.model_name == "looping"
    gone = [event.status for event in dialled.gateway.events()]
    assert sorted(gone) == [200, 499, 499]


async def test_a_server_that_stops_ends_the_streams_after_their_answers(dialled: Dialled) -> None:
    idle, at_work = dialled.stream(), dialled.stream()
    await idle.write(asking(id="first").SerializeToString())
    assert (await next_of(idle)).infer_response.id == "first"
    await at_work.write(counting(200_000).SerializeToString())
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(dialled.server.stop(60))
    assert (await next_of(at_work)).infer_response.model_name == "looping"
    assert await at_work.code() is StatusCode.UNAVAILABLE
    assert await idle.code() is StatusCode.UNAVAILABLE
    await asyncio.wait_for(stopping, 30)
