"""A gateway behind a real socket, on the loop that it runs on and on the standard library's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from modelyard.core.access import Scope
from modelyard.core.tensors import Datatype
from tests.batching import looping
from tests.dataplane import Gateway, echo, picker
from tests.integration.api.connection.wire import KEY, Server, answering


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    made.key(KEY, Scope.MANAGE)
    made.deploy(picker(), echo(Datatype.FP32), echo(Datatype.UINT8))
    made.deploy(looping(), inline_rows=0)
    made.publish()
    made.front.management = answering
    yield made
    await made.close()


@pytest_asyncio.fixture
async def server(gateway: Gateway) -> AsyncIterator[Server]:
    async with Server(gateway) as made:
        yield made
