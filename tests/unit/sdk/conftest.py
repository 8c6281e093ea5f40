from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelyard_client import Client
from tests.unit.sdk.scripted_server import ScriptedServer, scripted_server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.url, "my_key", timeout=5) as client:
        yield client
