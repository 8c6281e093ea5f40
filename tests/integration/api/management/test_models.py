"""Models, versions, aliases and deployments over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_version_is_shown_with_its_signature_and_card(yard: Yard) -> None:
    yard.version()
    async with yard.client() as client:
        model = (await client.get("/models/churn")).json()
        version = (await client.get("/models/churn/versions/1")).json()
        page = (await client.get("/models/churn/versions")).json()
    assert (model["name"], model["latest"]) == ("churn", 1)
    assert version["signature"]["inputs"][0]["shape"] == [-1, 2]
    assert version["card"]["task"] == "classification"
    assert page["items"] == [version]


async def test_an_alias_moves_and_goes(yard: Yard) -> None:
    yard.version()
    yard.version()
    async with yard.client() as client:
        for number in (1, 2):
            put = await client.put("/models/churn/aliases/champion", json={"version": number})
            assert put.status_code == 200
        aliases = (await client.get("/models/churn/aliases")).json()["items"]
        assert [(alias["name"], alias["version"]) for alias in aliases] == [("champion", 2)]
        gone = await client.delete("/models/churn/aliases/champion")
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await client.delete("/models/churn/aliases/champion")).status_code == 404


@pytest.mark.parametrize("version", [0, -1, 2**31, 10**30, "1", 1.5, None, True])
async def test_a_version_number_is_a_number_that_can_be_one(yard: Yard, version: object) -> None:
    yard.version()
    async with yard.client() as client:
        answer = await client.put("/models/churn/aliases/champion", json={"version": version})
    assert answer.status_code == 400
    assert "version" in answer.json()["detail"]


async def test_a_deployment_is_made_changed_and_deleted(yard: Yard) -> None:
    yard.version()
    yard.version()
    async with yard.client() as client:
        made = await client.put("/deployments/shop", json={"model": "churn:1"})
        same = await client.put("/deployments/shop", json={"model": "churn:1"})
        changed = await client.put("/deployments/shop", json={"model": "churn:2"})
        listed = (await client.get("/deployments")).json()["items"]
        deleted = await client.delete("/deployments/shop")
        gone = await client.get("/deployments/shop")
    assert (made.status_code, same.status_code, changed.status_code) == (201, 200, 200)
    assert (made.json()["generation"], same.json()["generation"]) == (1, 1)
    assert changed.json()["generation"] == 2
    assert changed.json()["status"]["target"]["number"] == 2
    assert listed == [changed.json()]
    assert "tenant_id" not in changed.json()
    assert (deleted.status_code, gone.status_code) == (204, 404)


@pytest.mark.parametrize(
    ("reference", "status"),
    [("nope", 404), ("churn:9", 404), ("churn@nope", 404), ("churn:x", 400), ("../etc", 400)],
)
async def test_a_deployment_of_nothing_is_refused(yard: Yard, reference: str, status: int) -> None:
    yard.version()
    async with yard.client() as client:
        answer = await client.put("/deployments/shop", json={"model": reference})
    assert answer.status_code == status


async def test_options_are_given_kept_and_taken_back(yard: Yard) -> None:
    yard.version()
    yard.version()
    given = {"max_batch_size": 8, "timeout_ms": 250, "cache": {"ttl_seconds": 1.5}}
    async with yard.client() as client:

        async def put(body: dict[str, object]) -> tuple[int, dict[str, object], int]:
            answer = await client.put("/deployments/live", json=body)
            shown = answer.json()
            return answer.status_code, shown["spec"]["options"], shown["generation"]

        status, options, _ = await put({"model": "churn:1", "options": given})
        whole = {
            "max_batch_size": 8,
            "max_delay_ms": 0.0,
            "max_queue": 256,
            "timeout_ms": 250,
            "cache": {"max_bytes": 64 << 20, "ttl_seconds": 1.5},
            "replicas": None,
            "pinned": False,
            "idle_seconds": 300.0,
            "memory_bytes": 0,
            "language": None,
        }
        assert (status, options) == (201, whole)
        # Another version is served in the same way.
        assert await put({"model": "churn:2"}) == (200, whole, 2)
        assert await put({"model": "churn:2", "options": given}) == (200, whole, 2)
        status, options, generation = await put({"model": "churn:2", "options": {}})
        assert (status, options["cache"], options["max_batch_size"]) == (200, None, 32)
        assert generation == 3


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch_size": 0},
        {"max_delay_ms": -1},
        {"max_delay_ms": 1001},
        {"max_queue": 0},
        {"timeout_ms": 0},
        {"timeout_ms": 1.5},
        {"cache": {"ttl_seconds": 0}},
        {"cache": {"max_bytes": 1}},
        {"cache": True},
        {"max_batchsize": 3},
        [],
    ],
)
async def test_options_out_of_bounds_are_refused(yard: Yard, options: object) -> None:
    yard.version()
    async with yard.client() as client:
        body = {"model": "churn", "options": options}
        answer = await client.put("/deployments/live", json=body)
    assert answer.status_code == 400
    assert "options" in answer.json()["detail"]
