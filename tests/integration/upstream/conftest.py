"""A scripted provider, and a gateway that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.upstream.asking import AskingGateway
from tests.upstreams import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream({}) as started:
        yield started


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, upstream: Upstream) -> AsyncIterator[AskingGateway]:
    made = AskingGateway(tmp_path, upstream)
    yield made
    await made.close()
