"""Generated requests along the management API's own OpenAPI document: whatever is sent, there is
no 5xx, and no status that the document does not have.

A server of its own: some of the requests succeed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import status_code_conformance

from tests.e2e.calls import Caller
from tests.e2e.conftest import Server, start_server, stop_server

EXAMPLES = 4
"""Requests of each kind to each operation."""

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_server(tmp_path_factory.mktemp("described") / "home", "--workers", "1")
    yield server
    assert stop_server(server.process) == 0


def test_every_status_is_described(own_server: Server) -> None:
    key = {"Authorization": f"Bearer {own_server.admin_key}"}
    described = _read(own_server)
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=own_server.url)
    operations = [
        (path, method)
        for path, item in described["paths"].items()
        for method in METHODS
        if method in item
    ]
    assert len(operations) > 20
    for path, method in operations:
        for mode in GenerationMode:
            _try(schema[path][method], mode, key)


def _read(server: Server) -> Any:
    with Caller(server.url, server.admin_key) as call:
        answer = call("GET", "/openapi.json")
    assert answer.status == 200
    return answer.json()


def _try(operation: Any, mode: GenerationMode, key: dict[str, str]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    def answered(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(headers=key, checks=[not_a_server_error, status_code_conformance])

    try:
        answered()
    except Unsatisfiable:
        # Nothing is wrong with a request that has no parts.
        assert mode is GenerationMode.NEGATIVE
