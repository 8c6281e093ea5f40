"""Keys over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelyard.core.access import Scope

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_key_is_shown_once_and_no_answer_holds_a_hash(yard: Yard) -> None:
    async with yard.client() as client:
        made = await client.post("/keys", json={"name": "shop", "scope": "infer"})
        assert made.status_code == 201
        key = made.json()
        assert key["key"].startswith("my_")
        assert key["key"].startswith(key["hint"])
        listed = await client.get("/keys")
    assert [each["id"] for each in listed.json()["items"]] == [key["id"]]
    assert key["key"] not in listed.text
    assert set(listed.json()["items"][0]) == set(key) - {"key"}
    assert not any("hash" in name for name in key)


async def test_times_are_taken_with_any_zone_and_given_in_utc(yard: Yard) -> None:
    body = {"name": "a", "scope": "infer", "expires_at": "2026-06-01T02:00:00+02:00"}
    async with yard.client() as client:
        answer = await client.post("/keys", json=body)
    assert answer.json()["expires_at"] == "2026-06-01T00:00:00Z"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"name": "a", "scope": "root"}, "there is no scope 'root'"),
        ({"name": "", "scope": "infer"}, "field 'name'"),
        ({"name": 5, "scope": "infer"}, "field 'name': expected 'str', got 'int'"),
        ({"name": "a"}, "'scope'"),
        ({"name": "a", "scope": "infer", "expires": "x"}, "'expires'"),
        ({"name": "a", "scope": "infer", "expires_at": "soon"}, "'expires_at'"),
        ({"name": "a", "scope": "infer", "expires_at": "2026-06-01T00:00:00"}, "zone"),
        ({"name": "a", "scope": "infer", "expires_at": "2020-06-01T00:00:00Z"}, "passed"),
        ({"name": "a", "scope": "infer", "expires_at": "9999-12-31T23:00:00-05:00"}, "calendar"),
        ([], "expected 'object', got 'array'"),
    ],
)
async def test_a_wrong_field_is_named(yard: Yard, body: object, named: str) -> None:
    async with yard.client() as client:
        answer = await client.post("/keys", json=body)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
    assert answer.json()["code"] == "invalid"


async def test_no_key_makes_or_revokes_a_wider_one(yard: Yard) -> None:
    admins, _ = yard.services.tenancy.create_key(yard.tenant, "operator", Scope.ADMIN)
    async with yard.client() as manager, yard.client(Scope.ADMIN) as admin:
        wider = {"name": "b", "scope": "admin"}
        assert (await manager.post("/keys", json=wider)).status_code == 403
        assert (await manager.post(f"/keys/{admins.id}/revoke")).status_code == 403
        assert (await admin.post("/keys", json=wider)).status_code == 201
        revoked = await admin.post(f"/keys/{admins.id}/revoke")
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"] is not None


async def test_pages_hold_every_key_once(yard: Yard) -> None:
    async with yard.client() as client:
        made = [
            (await client.post("/keys", json={"name": f"k{n}", "scope": "infer"})).json()["id"]
            for n in range(5)
        ]
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await client.get("/keys", params={"limit": 2, "cursor": cursor})).json()
            assert len(page["items"]) <= 2
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=%00", "cursor=AA=="])
async def test_a_bad_page_request_is_refused(yard: Yard, query: str) -> None:
    async with yard.client() as client:
        answer = await client.get(f"/keys?{query}")
    assert answer.status_code == 400, answer.text
