"""Requests of all kinds while models come and go: nothing stays of them (R22)."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio
from onnx import helper

from modelyard.api.http import HttpRequest, HttpResponse
from modelyard.core.clock import SystemClock
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving import follower as module
from modelyard.serving.follower import Follower
from modelyard.serving.local import LocalLoader
from modelyard.serving.options import CacheOptions, ServingOptions
from modelyard.serving.ports import ReplicaOutcome, Wanted, WantedRoute
from modelyard.serving.runtimes.onnx import OnnxLoader
from tests.batching import looping
from tests.dataplane import Gateway, MemoryBlobs, Model, graph, wanted

KEY = "my_caller"
CYCLES = 200
REQUESTS = 50
ROWS = 1 << 17
MOST_GROWTH = 100 << 20


def weighty() -> Model:
    """A table of a MiB: two hundred of them that stayed would be noticed."""
    signature = Signature(
        (TensorSpec("at", Datatype.INT64, (-1,)),), (TensorSpec("value", Datatype.INT64, (-1,)),)
    )
    nodes = [helper.make_node("Gather", ["values", "at"], ["value"])]
    values = {"values": np.arange(ROWS)}
    return Model("weighty", signature, graph(nodes, signature, values))


class Wishes:
    """A control plane that wants what it is told to want."""

    def __init__(self, gateway: Gateway) -> None:
        self.now = Wanted(0, list(gateway.keys), [])

    def want(self, *routes: WantedRoute) -> None:
        self.now = Wanted(self.now.revision + 1, self.now.keys, list(routes))

    def revision(self) -> int:
        return self.now.revision

    def wanted(self) -> Wanted:
        return self.now

    def report(self, gateway_id: str, now: datetime, outcomes: Sequence[ReplicaOutcome]) -> None:
        pass

    def leave(self, gateway_id: str) -> None:
        pass


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    made.key(KEY)
    yield made
    await made.close()


async def ask(gateway: Gateway, number: int) -> int:
    """One request, of a kind that its number chooses; its status, 0 if it hung up."""
    kind = number % 10
    values = {0: ROWS + 1, 1: 7, 2: 7}.get(kind, number)
    tensor = {"name": "at", "shape": [1], "datatype": "INT64", "data": [values]}
    body = json.dumps({"inputs": [tensor]}).encode()
    path, headers = "/v2/models/weighty/infer", {b"authorization": f"Bearer {KEY}".encode()}
    if kind == 3:
        path = "/v2/models/nothing/infer"
    elif kind == 4:
        body = body[:-5]
    elif kind == 5:
        headers[b"authorization"] = b"Bearer my_nobody"
    elif kind in (6, 7):
        path, headers[b"x-request-timeout-ms"] = "/v2/models/looping/infer", b"5"
        endless = {**tensor, "name": "times", "data": [1 << 40]}
        body = json.dumps({"inputs": [endless]}).encode()
    answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
    exchange = gateway.front.answer(HttpRequest("POST", path, headers, body), answered.set_result)
    if kind == 6 and exchange is not None and not answered.done():
        await asyncio.sleep(0)
        exchange.abandon()
        return 0
    return (await asyncio.wait_for(answered, 30)).status


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_nothing_grows(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.002)
    blobs, wishes, model, slow = MemoryBlobs(), Wishes(gateway), weighty(), looping()
    digest, slow_digest = blobs.add(model.graph), blobs.add(slow.graph)
    loader = LocalLoader(OnnxLoader(blobs).load)  # type: ignore[arg-type]
    follower = Follower(
        "gwy_1",
        wishes,
        loader,
        gateway.metrics,
        SystemClock(),
        gateway.service.publish,
        inline_seconds=0.002,
    )
    follower.start()
    process, statuses, begun = psutil.Process(), set(), (0, 0, 0)
    cached = ServingOptions(cache=CacheOptions(max_bytes=1 << 20))
    for cycle in range(CYCLES):
        version = cycle + 1
        wishes.want(
            wanted(model, digest, version=version, options=cached),
            wanted(slow, slow_digest, version=version, options=ServingOptions(max_delay_ms=1)),
        )
        await _until_served(gateway, version)
        statuses |= set(await asyncio.gather(*(ask(gateway, n) for n in range(REQUESTS))))
        wishes.want()
        await _until_served(gateway, None)
        if cycle == CYCLES // 10:
            begun = _held(process)
    rss, descriptors, threads = _held(process)
    assert statuses == {0, 200, 400, 401, 404, 504}
    assert len(gateway.events()) > 5000
    assert rss - begun[0] < MOST_GROWTH
    assert descriptors <= begun[1]
    # The pool of two begins its second thread when it first needs one, which may be late.
    assert threads <= begun[2] + 1
    follower.stop()
    loader.close()


async def _until_served(gateway: Gateway, version: int | None) -> None:
    def served() -> list[int]:
        grant = gateway.service.grant(KEY.encode()) if gateway.service.ready else None
        if grant is None:
            return []
        return [route.wanted.version for route in gateway.service.routes(grant).values()]

    async with asyncio.timeout(30):
        while served() != ([version] * 2 if version else []):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.002)


def _held(process: psutil.Process) -> tuple[int, int, int]:
    descriptors = list(Path("/proc/self/fd").iterdir())
    return process.memory_info().rss, len(descriptors), threading.active_count()
