"""Every answer belongs to its own request, whoever goes away in between.

MODELYARD_TEST_TAGGED says how many requests; 100000 take about a minute.
"""

import asyncio
import json
import os
import random

import pytest

from modelyard.core.tensors import Datatype
from modelyard.serving.options import ServingOptions
from tests.dataplane import Gateway, echo
from tests.integration.api.connection.wire import Server, Wire, post

REQUESTS = int(os.environ.get("MODELYARD_TEST_TAGGED", "4000"))
CLIENTS = 32


def tagged(tag: int) -> bytes:
    rows = tag % 3 + 1
    tensor = {"name": "x", "shape": [rows, 1], "datatype": "INT64", "data": [tag] * rows}
    body = json.dumps({"id": f"tag-{tag}", "inputs": [tensor]}).encode()
    return post("/v2/models/echo-int64/infer", body)


async def check(wire: Wire, tag: int) -> None:
    response = await wire.receive()
    assert response.status == 200, response
    answer = response.json()
    assert answer["id"] == f"tag-{tag}"
    assert answer["outputs"][0]["data"] == [tag] * (tag % 3 + 1)


async def client(server: Server, tags: list[int], chance: random.Random) -> int:
    """Send all in small pipelines, and hang up on some of them; how many were answered."""
    wire, answered = await server.connect(), 0
    while tags:
        some = [tags.pop() for _ in range(min(len(tags), chance.randint(1, 6)))]
        wire.writer.write(b"".join(map(tagged, some)))
        leaves_after = chance.randint(0, len(some)) if chance.random() < 0.2 else len(some)
        for tag in some[:leaves_after]:
            await check(wire, tag)
            answered += 1
        if leaves_after < len(some):
            await asyncio.sleep(0.002 * chance.random())
            wire.abort()
            wire = await server.connect()
    return answered


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.timeout(600)
async def test_no_two_answers_are_ever_mixed_up(server: Server, gateway: Gateway) -> None:
    options = ServingOptions(max_batch_size=16, max_queue=4096)
    gateway.deploy(echo(Datatype.INT64), inline_rows=0, options=options)
    gateway.publish()
    shares = [list(range(at, REQUESTS, CLIENTS)) for at in range(CLIENTS)]
    answered = await asyncio.gather(
        *(client(server, share, random.Random(at)) for at, share in enumerate(shares))
    )
    assert sum(answered) > REQUESTS / 2
    statuses = [event.status for event in gateway.events()]
    assert set(statuses) <= {200, 499}
    assert statuses.count(200) >= sum(answered)
