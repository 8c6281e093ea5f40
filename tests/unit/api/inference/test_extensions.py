"""The extensions' routes through the raw ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.dataplane import OTHER_TENANT, Answer, Gateway, call, several, table

KEY = "my_caller"
STRANGER = "my_stranger"

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(tmp_path)
    gateway.key(KEY)
    gateway.key(STRANGER, tenant=OTHER_TENANT)
    gateway.deploy(several(), table())
    gateway.publish({("tnt_1", "broken"): "it is broken"})
    yield gateway
    await gateway.close()


async def ask(
    gateway: Gateway, method: str, path: str, body: Any = b"", key: str | None = KEY
) -> Answer:
    return await call(gateway.front, method, path, body, key=key)


async def test_the_index_is_the_tenants_own(gateway: Gateway) -> None:
    answer = await ask(gateway, "POST", "/v2/repository/index")
    assert answer.json() == [
        {"name": "broken", "version": "", "state": "UNAVAILABLE", "reason": "it is broken"},
        {"name": "several", "version": "1", "state": "READY", "reason": ""},
        {"name": "table", "version": "1", "state": "READY", "reason": ""},
    ]
    ready = await ask(gateway, "POST", "/v2/repository/index", {"ready": True})
    assert [each["name"] for each in ready.json()] == ["several", "table"]
    assert (await ask(gateway, "POST", "/v2/repository/index", key=STRANGER)).json() == []


@pytest.mark.parametrize("body", [b"[]", b"{", {"ready": 1}, b"[" * 5000])
async def test_a_body_that_is_none(gateway: Gateway, body: Any) -> None:
    answer = await ask(gateway, "POST", "/v2/repository/index", body)
    assert answer.status == 400
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/repository/models/table/load", 200),
        ("POST", "/v2/repository/models/broken/load", 503),
        ("POST", "/v2/repository/models/nothing/load", 404),
        ("POST", "/v2/repository/models/table/unload", 400),
        ("POST", "/v2/repository/models/broken/unload", 400),
        ("POST", "/v2/repository/models/nothing/unload", 404),
        ("GET", "/v2/models/nothing/config", 404),
        ("GET", "/v2/models/table/versions/2/config", 404),
        ("GET", "/v2/models/nothing/stats", 404),
        ("GET", "/v2/models/nothing/trace/setting", 404),
        ("GET", "/v2/systemsharedmemory/region/mine/status", 404),
        ("POST", "/v2/cudasharedmemory/region/mine/register", 400),
        ("POST", "/v2/cudasharedmemory/region/mine/unregister", 200),
        ("GET", "/v2/repository/index", 405),
        ("GET", "/v2/repository/models/table/load", 405),
        ("POST", "/v2/models/table/config", 405),
        ("DELETE", "/v2/logging", 405),
        ("GET", "/v2/repository/elsewhere", 404),
        ("GET", "/v2/systemsharedmemory", 404),
    ],
)
async def test_statuses(gateway: Gateway, method: str, path: str, status: int) -> None:
    answer = await ask(gateway, method, path)
    assert answer.status == status
    assert (await ask(gateway, method, path, key=None)).status == 401
    if status == 405:
        assert answer.headers["allow"]
    if status != 200:
        assert answer.json()["error"]


async def test_a_deployment_of_another_tenant_is_not_there(gateway: Gateway) -> None:
    for path in ("config", "stats", "trace/setting"):
        assert (await ask(gateway, "GET", f"/v2/models/table/{path}", key=STRANGER)).status == 404
    assert (await ask(gateway, "GET", "/v2/models/stats", key=STRANGER)).json() == {
        "model_stats": []
    }


async def test_statistics_count_outcomes_rows_and_calls(gateway: Gateway) -> None:
    rows = {"instances": [[1, 2, 3], [4, 5, 6]]}
    assert (await ask(gateway, "POST", "/v1/models/table:predict", rows)).status == 200
    assert (await ask(gateway, "POST", "/v1/models/table:predict", {"instances": []})).status == 400
    (model,) = (await ask(gateway, "GET", "/v2/models/table/versions/1/stats")).json()[
        "model_stats"
    ]
    assert (model["inference_count"], model["execution_count"]) == (2, 1)
    assert model["inference_stats"]["success"]["count"] == 1
    assert model["inference_stats"]["success"]["ns"] > 0
    assert model["inference_stats"]["fail"]["count"] == 1
    assert model["inference_stats"]["fail"]["ns"] > 0
    every = (await ask(gateway, "GET", "/v2/models/stats")).json()["model_stats"]
    assert [each["name"] for each in every] == ["several", "table"]


@pytest.mark.parametrize(
    ("update", "status"),
    [
        ({}, 200),
        ({"trace_level": ["OFF"], "trace_rate": "1000", "trace_count": None}, 200),
        ({"trace_level": ["TENSORS"]}, 400),
        ({"trace_file": "elsewhere"}, 400),
        ({"no_such_setting": 1}, 400),
    ],
)
async def test_settings_hold_against_updates(
    gateway: Gateway, update: dict[str, Any], status: int
) -> None:
    before = (await ask(gateway, "GET", "/v2/trace/setting")).json()
    assert (await ask(gateway, "POST", "/v2/models/table/trace/setting", update)).status == status
    assert (await ask(gateway, "GET", "/v2/trace/setting")).json() == before
