"""Tenants over HTTP, and acting in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelyard.core.access import Scope

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_operator_opens_a_tenant_and_makes_its_first_key(yard: Yard) -> None:
    async with yard.client(Scope.ADMIN) as operator:
        opened = await operator.post("/tenants", json={"name": "acme"})
        assert opened.status_code == 201
        inside = {"X-Modelyard-Tenant": "acme"}
        body = {"name": "first", "scope": "manage"}
        made = (await operator.post("/keys", json=body, headers=inside)).json()
        assert [key["id"] for key in (await operator.get("/keys", headers=inside)).json()["items"]]
        assert (await operator.get("/keys")).json()["items"] == []
        listed = (await operator.get("/tenants")).json()["items"]
    assert [tenant["name"] for tenant in listed] == ["default", "other", "acme"]
    with yard.store.read() as tx:
        assert tx.keys(opened.json()["id"]).get(made["id"]).name == "first"


async def test_others_see_and_name_their_own_tenant_alone(yard: Yard) -> None:
    async with yard.client(Scope.MANAGE) as owner:
        assert [t["name"] for t in (await owner.get("/tenants")).json()["items"]] == ["default"]
        assert (await owner.get("/tenants/default")).status_code == 200
        assert (await owner.get("/keys", headers={"X-Modelyard-Tenant": "default"})).json() == {
            "items": [],
            "next_cursor": None,
        }
        assert (await owner.post("/tenants", json={"name": "acme"})).status_code == 403
        told = []
        for name in ("other", "none!"):
            shown = await owner.get(f"/tenants/{name}")
            acted = await owner.get("/keys", headers={"X-Modelyard-Tenant": name})
            assert shown.status_code == acted.status_code == 404
            told += [shown.text.replace(name, "?"), acted.text.replace(name, "?")]
    assert len(set(told)) == 1


async def test_no_key_of_the_operators_scope_is_made_in_another_tenant(yard: Yard) -> None:
    async with yard.client(Scope.ADMIN) as operator:
        headers = {"X-Modelyard-Tenant": "other"}
        body = {"name": "sly", "scope": "admin"}
        refused = await operator.post("/keys", json=body, headers=headers)
    assert refused.status_code == 400
    assert "can only be made in tenant 'default'" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["", "a" * 64, "Acme", "a/b", "-a"])
async def test_a_name_that_is_none_is_refused(yard: Yard, name: str) -> None:
    async with yard.client(Scope.ADMIN) as operator:
        refused = await operator.post("/tenants", json={"name": name})
        assert refused.status_code == 400
        assert "tenant name" in refused.json()["detail"]
        assert (await operator.post("/tenants", json={"name": "other"})).status_code == 409
