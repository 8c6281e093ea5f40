"""Quotas over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelyard.core.access import Scope

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = {"measure": "requests", "period": "minute", "amount": "600"}


async def test_a_quota_is_set_changed_shown_and_removed(yard: Yard) -> None:
    async with yard.client() as client:
        key = (await client.post("/keys", json={"name": "app", "scope": "infer"})).json()
        body = {"measure": "money", "period": "month", "amount": "25.50", "key_id": key["id"]}
        made = (await client.put("/quotas", json=body | {"alert_at": 80})).json()
        assert (made["amount"], made["strict"], made["alert_at"]) == ("25.5", True, 80)
        assert (made["key_id"], made["used"], made["held"]) == (key["id"], None, None)
        changed = (await client.put("/quotas", json=body | {"strict": False})).json()
        assert (changed["id"], changed["strict"], changed["alert_at"]) == (made["id"], False, 0)
        other = (await client.put("/quotas", json=LIMIT)).json()
        listed = (await client.get("/quotas")).json()["items"]
        assert listed == [other, changed]
        assert (await client.get(f"/quotas/{made['id']}")).json() == changed
        assert (await client.delete(f"/quotas/{made['id']}")).status_code == 204
        assert (await client.get(f"/quotas/{made['id']}")).status_code == 404
        assert (await client.delete(f"/quotas/{made['id']}")).status_code == 404
        assert (await client.get("/quotas/alerts")).json()["items"] == []


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"measure": "money"}, "not counted per minute"),
        ({"measure": "concurrency"}, "not counted per minute"),
        ({"period": "moment"}, "concurrency"),
        ({"amount": "-1"}, "-1"),
        ({"amount": "1.5"}, "whole number"),
        ({"amount": "1" + "0" * 16}, "at most"),
        ({"measure": "money", "period": "day", "amount": "9000001"}, "at most 9000000"),
        ({"strict": False}, "only budgets"),
        ({"alert_at": 5}, "only budgets"),
        ({"alert_at": 101, "period": "day"}, "alert_at"),
        ({"measure": "clicks"}, "measure"),
        ({"key_id": ""}, "key_id"),
    ],
)
async def test_a_quota_that_makes_no_sense_is_refused(
    yard: Yard, change: dict[str, Any], about: str
) -> None:
    async with yard.client() as client:
        refused = await client.put("/quotas", json=LIMIT | change)
        assert refused.status_code == 400
        assert about in refused.json()["detail"]
        assert (await client.get("/quotas")).json()["items"] == []


async def test_a_publisher_limits_the_callers_of_its_own_deployments(yard: Yard) -> None:
    yard.version()
    of_churn = LIMIT | {"deployment": "churn"}
    async with yard.client() as client:
        missing = await client.put("/quotas", json=of_churn)
        assert (missing.status_code, "'churn'" in missing.json()["detail"]) == (404, True)
        await client.put("/deployments/churn", json={"model": "churn:1"})
        together = (await client.put("/quotas", json=of_churn)).json()
        each = (await client.put("/quotas", json=of_churn | {"each_caller": True})).json()
        again = (await client.put("/quotas", json=of_churn | {"amount": "7"})).json()
        assert (again["id"], again["amount"]) == (together["id"], "7")
        assert (each["deployment"], each["each_caller"]) == ("churn", True)
        assert (await client.get("/quotas")).json()["items"] == [each, again]
        for change, about in (
            ({"key_id": "key_x"}, "not of both"),
            ({"period": "day"}, "who pay"),
            ({"deployment": "", "each_caller": True}, "each_caller"),
        ):
            refused = await client.put("/quotas", json=of_churn | change)
            assert refused.status_code == 400
            assert about in refused.json()["detail"]
    async with yard.client(other=True) as stranger:
        assert (await stranger.put("/quotas", json=of_churn)).json()["status"] == 404


async def test_only_a_key_of_the_tenant_can_have_a_quota(yard: Yard) -> None:
    async with yard.client(Scope.ADMIN) as operator:
        inside = {"X-Modelyard-Tenant": "other"}
        body = {"name": "theirs", "scope": "infer"}
        theirs = (await operator.post("/keys", json=body, headers=inside)).json()
        told = []
        for key_id in (theirs["id"], "key_none"):
            refused = await operator.put("/quotas", json=LIMIT | {"key_id": key_id})
            assert refused.status_code == 404
            told.append(refused.json()["detail"].replace(key_id, "?"))
    assert len(set(told)) == 1


async def test_what_the_operator_imposes_stands_beside_the_tenants_own(yard: Yard) -> None:
    async with yard.client(Scope.ADMIN) as operator:
        imposed = (await operator.put("/quotas", json=LIMIT)).json()
    async with yard.client(Scope.MANAGE) as owner:
        own = (await owner.put("/quotas", json=LIMIT | {"amount": "1000000"})).json()
        assert (own["imposed"], imposed["imposed"]) == (False, True)
        assert (await owner.get("/quotas")).json()["items"] == [own, imposed]
        refused = await owner.delete(f"/quotas/{imposed['id']}")
        assert refused.status_code == 403
        assert "operator" in refused.json()["detail"]
        assert (await owner.delete(f"/quotas/{own['id']}")).status_code == 204
    async with yard.client(Scope.ADMIN) as operator:
        assert (await operator.delete(f"/quotas/{imposed['id']}")).status_code == 204
