"""Options of a deployment as its clients see them: cache, deadlines, admission."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from modelyard.serving.exposition import render
from modelyard.serving.options import CacheOptions, ServingOptions
from tests.batching import looping
from tests.dataplane import OTHER_TENANT, Answer, Gateway, call, picker

pytestmark = pytest.mark.asyncio
KEY, OTHER = "my_caller", "my_other"
FOREVER = 1 << 40
COUNT = "modelyard_batch_rows_count"
CACHED = ServingOptions(cache=CacheOptions())


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    made.key(KEY)
    made.key(OTHER, tenant=OTHER_TENANT)
    yield made
    await made.close()


def tensor(name: str, *values: int, **more: Any) -> dict[str, Any]:
    one = {"name": name, "shape": [len(values)], "datatype": "INT64", "data": list(values)}
    return {"inputs": [one], **more}


async def ask(gateway: Gateway, model: str, body: Any, key: str = KEY, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(gateway.front, "POST", f"/v2/models/{model}/infer", body, named, key=key)


@pytest.mark.parametrize("inline_rows", [0, 1000])
async def test_equal_inputs_are_answered_once(gateway: Gateway, inline_rows: int) -> None:
    gateway.deploy(picker(), inline_rows=inline_rows, options=CACHED)
    gateway.publish()
    first = await ask(gateway, "picker", tensor("at", 2, 0, id="one"))
    again = await ask(gateway, "picker", tensor("at", 2, 0, id="two"))
    assert "x-cache" not in first.headers
    assert again.headers["x-cache"] == "hit"
    assert again.json()["id"] == "two"
    assert again.json()["outputs"] == first.json()["outputs"]
    v1 = await call(
        gateway.front, "POST", "/v1/models/picker:predict", {"instances": [2, 0]}, key=KEY
    )
    assert (v1.headers["x-cache"], v1.json()) == ("hit", {"predictions": [30, 10]})
    assert "x-cache" not in (await ask(gateway, "picker", tensor("at", 0, 2))).headers
    events = gateway.events()
    assert [(event.cached, event.rows) for event in events] == [
        (False, 2),
        (True, 2),
        (True, 2),
        (False, 2),
    ]
    text = render(gateway.folder / "metrics", None)
    assert "modelyard_cache_hits_total" in text
    (hits,) = [line for line in text.splitlines() if line.startswith("modelyard_cache_hits_total")]
    assert hits.endswith(" 2")
    (misses,) = [each for each in text.splitlines() if each.startswith("modelyard_cache_misses")]
    assert int(misses.rpartition(" ")[2]) >= 1


async def test_errors_are_not_kept(gateway: Gateway) -> None:
    gateway.deploy(picker(), inline_rows=0, options=CACHED)
    gateway.publish()
    for _ in range(2):
        answer = await ask(gateway, "picker", tensor("at", 9))
        assert answer.status == 400
        assert "x-cache" not in answer.headers


async def test_tenants_share_nothing(gateway: Gateway) -> None:
    for tenant in ("tnt_1", OTHER_TENANT):
        gateway.deploy(picker(), tenant=tenant, options=CACHED)
    gateway.publish()
    for key in (KEY, OTHER):
        assert "x-cache" not in (await ask(gateway, "picker", tensor("at", 1), key)).headers


async def test_without_the_option_nothing_is_kept(gateway: Gateway) -> None:
    gateway.deploy(picker())
    gateway.publish()
    for _ in range(3):
        assert "x-cache" not in (await ask(gateway, "picker", tensor("at", 1))).headers
    assert not any(event.cached for event in gateway.events())


@pytest.mark.parametrize(
    ("options", "parameters", "headers"),
    [
        (ServingOptions(timeout_ms=50), {}, {}),
        (ServingOptions(), {"timeout": 50_000}, {}),
        (ServingOptions(), {}, {"x_request_timeout_ms": "50"}),
        (ServingOptions(timeout_ms=50), {"timeout": 60_000_000}, {"x_request_timeout_ms": "9999"}),
    ],
)
async def test_time_is_limited_by_whoever_allows_least(
    gateway: Gateway,
    options: ServingOptions,
    parameters: dict[str, int],
    headers: dict[str, str],
) -> None:
    gateway.deploy(looping(), inline_rows=0, options=options)
    gateway.publish()
    body = tensor("times", FOREVER, parameters=parameters)
    answer = await ask(gateway, "looping", body, **headers)
    assert answer.status == 504
    assert list(answer.json()) == ["error"]
    # The session has stopped: the next request has its turn.
    assert (await ask(gateway, "looping", tensor("times", 7))).status == 200
    assert [(event.status, event.rows) for event in gateway.events()] == [(504, 0), (200, 1)]


@pytest.mark.parametrize(
    ("parameters", "headers"),
    [({"timeout": 1}, {}), ({}, {"x_request_timeout_ms": "1"})],
)
@pytest.mark.parametrize("inline_rows", [0, 1_000_000])
async def test_reading_a_request_takes_of_its_time(
    gateway: Gateway, inline_rows: int, parameters: dict[str, int], headers: dict[str, str]
) -> None:
    gateway.deploy(picker(), inline_rows=inline_rows)
    gateway.publish()
    # Reading that much takes many milliseconds.
    body = tensor("at", *[1] * 300_000, parameters=parameters)
    assert (await ask(gateway, "picker", body, **headers)).status == 504
    assert [(event.status, event.rows) for event in gateway.events()] == [(504, 0)]
    text = render(gateway.folder / "metrics", None)
    (calls,) = [line for line in text.splitlines() if line.startswith(COUNT)]
    assert calls.endswith(" 0")


async def test_a_hundred_impatient_requests_run_the_model_hardly_ever(gateway: Gateway) -> None:
    gateway.deploy(looping(), inline_rows=0, options=ServingOptions(max_batch_size=1))
    gateway.publish()
    hasty = {"x_request_timeout_ms": "200"}
    answers = await asyncio.gather(
        *(ask(gateway, "looping", tensor("times", FOREVER), **hasty) for _ in range(100))
    )
    assert {answer.status for answer in answers} == {504}
    assert (await ask(gateway, "looping", tensor("times", 3))).status == 200
    text = render(gateway.folder / "metrics", None)
    (calls,) = [line for line in text.splitlines() if line.startswith(COUNT)]
    # The last one is the one that was answered.
    assert int(calls.rpartition(" ")[2]) <= 10


async def test_a_full_queue_is_told_at_once(gateway: Gateway) -> None:
    options = ServingOptions(max_batch_size=1, max_queue=2)
    gateway.deploy(looping(), inline_rows=0, options=options)
    gateway.publish()
    slow = {"x_request_timeout_ms": "2000"}
    began = time.monotonic()
    waiting = []
    for _ in range(3):
        waiting.append(
            asyncio.create_task(ask(gateway, "looping", tensor("times", FOREVER), **slow))
        )
        await asyncio.sleep(0.02)
    full = await ask(gateway, "looping", tensor("times", 1))
    assert full.status == 503
    assert time.monotonic() - began < 1.9
    assert int(full.headers["retry-after"]) >= 1
    assert "wait" in json.loads(full.body)["error"]
    assert {(await each).status for each in waiting} == {504}


async def test_a_request_that_would_be_late_is_refused_unread(gateway: Gateway) -> None:
    options = ServingOptions(max_batch_size=1, timeout_ms=60_000)
    gateway.deploy(looping(), inline_rows=0, options=options)
    gateway.publish()
    slow = {"x_request_timeout_ms": "200"}
    assert (await ask(gateway, "looping", tensor("times", FOREVER), **slow)).status == 504
    patient = [
        asyncio.ensure_future(ask(gateway, "looping", tensor("times", FOREVER), **slow))
        for _ in range(2)
    ]
    # Both are there by the next turn of the loop but one.
    await asyncio.sleep(0.05)
    # What it says is no inference at all; nobody has looked.
    refused = await ask(gateway, "looping", b"nonsense", x_request_timeout_ms="100")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    # By then the body has been read, for the time is in it.
    body = tensor("times", 1, parameters={"timeout": 100_000})
    assert (await ask(gateway, "looping", body)).status == 503
    # Who has the time is let in.
    assert (await ask(gateway, "looping", tensor("times", 3))).status == 200
    await asyncio.gather(*patient)
