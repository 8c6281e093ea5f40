from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelyard_client import (
    CacheOptions,
    Client,
    DeploymentFailed,
    ReplicaOptions,
    ServingOptions,
    TimedOut,
)
from tests.unit.sdk.scripted_server import Answer, ScriptedServer

AT = "2026-11-22T00:00:00Z"


def _deployment(generation: int, observed: int, state: str, reason: str = "") -> dict[str, Any]:
    return {
        "id": "dep_1",
        "name": "m",
        "spec": {"model": "m@champion"},
        "generation": generation,
        "status": {"state": state, "generation": observed, "reason": reason},
        "created_at": AT,
        "updated_at": AT,
    }


def test_a_status_of_an_older_spec_is_not_believed(server: ScriptedServer, client: Client) -> None:
    server.answers = [
        Answer(200, _deployment(2, 1, "ready")),
        Answer(200, _deployment(2, 1, "failed", "old")),
        Answer(200, _deployment(2, 2, "pending")),
        Answer(200, _deployment(2, 2, "ready")),
    ]
    assert client.deployments.wait_ready("m").status.generation == 2
    assert len(server.asked) == 4


def test_a_failure_says_why(server: ScriptedServer, client: Client) -> None:
    server.answers = [Answer(200, _deployment(1, 1, "failed", "the graph is damaged"))]
    with pytest.raises(DeploymentFailed, match="the graph is damaged"):
        client.deployments.wait_ready("m")


def test_waiting_has_an_end(server: ScriptedServer, client: Client) -> None:
    server.answers = [Answer(200, _deployment(1, 1, "pending"))]
    with pytest.raises(TimedOut, match="not ready after"):
        client.deployments.wait_ready("m", timeout=0.1)


def test_the_defaults_are_the_servers() -> None:
    from modelyard.serving import options as server

    assert msgspec.to_builtins(ServingOptions()) == msgspec.to_builtins(server.ServingOptions())
    assert msgspec.to_builtins(ReplicaOptions()) == msgspec.to_builtins(server.ReplicaOptions())
    assert msgspec.to_builtins(CacheOptions()) == msgspec.to_builtins(server.CacheOptions())
