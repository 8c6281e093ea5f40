"""ModelInfer over a real channel."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.core.quotas import Measure, Period
from modelyard.serving.limits.quota import WantedQuota
from tests.dataplane import LIMIT
from tests.unit.api.grpc.conftest import KEY, STRANGER, Dialled, asking, counting

pytestmark = pytest.mark.asyncio

LONG = 1 << 40


async def refused(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await call  # type: ignore[misc]
    return told.value


async def test_what_comes_raw_goes_raw_and_is_recorded(dialled: Dialled) -> None:
    request = asking(rows=3, id="r-1")
    call = dialled.call("ModelInfer", request)
    said = await call
    answer = messages.ModelInferResponse.FromString(said)
    assert (answer.model_name, answer.model_version, answer.id) == ("echo-fp32", "1", "r-1")
    assert [(each.name, each.datatype, list(each.shape)) for each in answer.outputs] == [
        ("y", "FP32", [3, 2])
    ]
    assert list(answer.raw_output_contents) == list(request.raw_input_contents)
    (event,) = dialled.gateway.events()
    metadata = dict(await call.trailing_metadata())
    assert metadata["x-request-id"] == event.request_id
    assert (event.status, event.rows, event.deployment) == (200, 3, "echo-fp32")
    assert (event.bytes_in, event.bytes_out) == (request.ByteSize(), len(said))


async def test_quotas_are_told_and_refuse(dialled: Dialled) -> None:
    gateway = dialled.gateway
    grant = gateway.service.grant(KEY.encode())
    assert grant is not None
    tenant, key_id = grant.tenant_id, grant.key_id
    gateway.quotas = [
        WantedQuota("quo_a", tenant, key_id, Measure.REQUESTS, Period.MINUTE, 1),
    ]
    gateway.publish()
    call = dialled.call("ModelInfer", asking())
    await call
    told = dict(await call.trailing_metadata())
    assert told["ratelimit-policy"] == '"key-requests-minute";q=1;w=60'
    assert str(told["ratelimit"]).startswith('"key-requests-minute";r=0;t=')
    error = await refused(dialled.infer(asking()))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(error.trailing_metadata() or ())["retry-after"]) >= 59


async def test_an_id_is_not_invented(dialled: Dialled) -> None:
    assert (await dialled.infer(asking())).id == ""


async def test_requested_outputs_come_in_their_order(dialled: Dialled) -> None:
    request = messages.ModelInferRequest(model_name="several")
    a = request.inputs.add(name="a", datatype="INT64", shape=[1])
    a.contents.int64_contents.append(7)
    b = request.inputs.add(name="b", datatype="INT64", shape=[1, 2])
    b.contents.int64_contents.extend([8, 9])
    request.outputs.add(name="d")
    request.outputs.add(name="c")
    answer = await dialled.infer(request)
    assert [each.name for each in answer.outputs] == ["d", "c"]
    d, c = (np.frombuffer(raw, np.int64).tolist() for raw in answer.raw_output_contents)
    assert (d, c) == ([8, 9], [7])
    del request.outputs[0]
    assert [each.name for each in (await dialled.infer(request)).outputs] == ["c"]


async def test_another_tenants_model_is_not_there(dialled: Dialled) -> None:
    error = await refused(dialled.infer(asking(), STRANGER))
    assert (error.code(), error.details()) == (
        StatusCode.NOT_FOUND,
        "there is no deployment 'echo-fp32'",
    )


async def test_a_message_that_is_none(dialled: Dialled) -> None:
    error = await refused(dialled.call("ModelInfer", b"\xff\xff"))
    assert error.code() is StatusCode.INVALID_ARGUMENT
    assert "ModelInferRequest" in (error.details() or "")


async def test_messages_are_bounded_packed_or_not(dialled: Dialled) -> None:
    big = asking(rows=LIMIT // 8 + 1)
    error = await refused(dialled.infer(big))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    bomb = asking(rows=LIMIT)
    bomb.raw_input_contents[0] = bytes(8 * LIMIT)
    error = await refused(dialled.infer(bomb, compression=grpc.Compression.Gzip))
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    packed = asking(rows=1000)
    answer = await dialled.infer(packed, compression=grpc.Compression.Gzip)
    assert list(answer.raw_output_contents) == list(packed.raw_input_contents)


async def test_a_full_queue_says_when_to_come_back(dialled: Dialled) -> None:
    calls = [dialled.call("ModelInfer", counting(LONG)) for _ in range(8)]
    done, _ = await asyncio.wait(
        [asyncio.ensure_future(call.code()) for call in calls], return_when="FIRST_COMPLETED"
    )
    assert {code.result() for code in done} == {StatusCode.UNAVAILABLE}
    full = next(call for call in calls if call.done())
    assert dict(await full.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
    for call in calls:
        call.cancel()
    await until_answered(dialled)


async def test_a_deadline_ends_the_model(dialled: Dialled) -> None:
    error = await refused(dialled.infer(counting(LONG), timeout=0.2))
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    await until_answered(dialled)


async def test_the_timeout_parameter_ends_it_too(dialled: Dialled) -> None:
    request = counting(LONG)
    request.parameters["timeout"].int64_param = 100_000
    error = await refused(dialled.infer(request, timeout=60))
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    assert "time was over" in (error.details() or "")
    for wrong in (-1, "soon"):
        if isinstance(wrong, int):
            request.parameters["timeout"].int64_param = wrong
        else:
            request.parameters["timeout"].string_param = wrong
        error = await refused(dialled.infer(request))
        assert error.code() is StatusCode.INVALID_ARGUMENT
        assert "'timeout'" in (error.details() or "")


async def test_a_cancelled_call_leaves_the_model(dialled: Dialled) -> None:
    call = dialled.call("ModelInfer", counting(LONG))
    await asyncio.sleep(0.1)
    call.cancel()
    await until_answered(dialled)
    assert dialled.gateway.events()[0].status == 499


async def until_answered(dialled: Dialled) -> None:
    """Wait until the model answers again: what held it has gone."""
    end = asyncio.get_running_loop().time() + 20
    while True:
        call = dialled.call("ModelInfer", counting(3))
        code = await call.code()
        if code is StatusCode.OK:
            return
        assert code is StatusCode.UNAVAILABLE
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("parameter", "words"),
    [("shared_memory_region", "shared memory"), ("classification", "classification")],
)
async def test_what_is_not_served_is_not_passed_over(
    dialled: Dialled, parameter: str, words: str
) -> None:
    request = asking()
    output = request.outputs.add(name="y")
    output.parameters[parameter].string_param = "1"
    error = await refused(dialled.infer(request))
    assert error.code() is StatusCode.INVALID_ARGUMENT
    assert words in (error.details() or "")


async def test_contents_and_raw_contents_exclude_each_other(dialled: Dialled) -> None:
    both = asking()
    both.inputs[0].contents.fp32_contents.extend([1, 2])
    error = await refused(dialled.infer(both))
    assert "both contents and raw_input_contents" in (error.details() or "")
    more = asking()
    more.raw_input_contents.append(b"")
    error = await refused(dialled.infer(more))
    assert "raw_input_contents has 2 tensors for 1 inputs" in (error.details() or "")


async def test_an_input_that_is_wrong_is_named(dialled: Dialled) -> None:
    twice = asking()
    twice.inputs.add().CopyFrom(twice.inputs[0])
    twice.raw_input_contents.append(twice.raw_input_contents[0])
    assert "'x' is given twice" in ((await refused(dialled.infer(twice))).details() or "")
    odd = asking()
    odd.inputs[0].datatype = "FP31"
    assert "no datatype 'FP31'" in ((await refused(dialled.infer(odd))).details() or "")
    negative = asking()
    negative.inputs[0].shape[0] = -1
    assert "'x'" in ((await refused(dialled.infer(negative))).details() or "")
    short = asking()
    short.raw_input_contents[0] = b"123"
    assert "means 8 bytes, got 3" in ((await refused(dialled.infer(short))).details() or "")
