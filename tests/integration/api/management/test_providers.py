"""Providers over HTTP: what is told of them, and that their keys never are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from modelyard.core.access import Scope
from modelyard.core.errors import Conflict

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = "sk-canary-0123456789"
URL = "https://api.example.com/v1"


def body(**more: Any) -> dict[str, Any]:
    return {"base_url": URL, "api_key": KEY, **more}


async def test_a_provider_is_added_changed_listed_and_deleted(yard: Yard) -> None:
    async with yard.client() as client:
        made = await client.put("/providers/openai", json=body(forward_headers=["OpenAI-Beta"]))
        assert made.status_code == 201
        changed = await client.put(
            "/providers/openai", json={"base_url": f"{URL}/", "timeouts": {"connect_seconds": 1}}
        )
        assert changed.status_code == 200
        shown = (await client.get("/providers/openai")).json()
        assert shown["id"] == made.json()["id"]
        assert (shown["base_url"], shown["has_key"], shown["forward_headers"]) == (URL, True, [])
        assert shown["timeouts"]["connect_seconds"] == 1
        assert (await client.get("/providers")).json()["items"] == [shown]
        assert (await client.delete("/providers/openai")).status_code == 204
        assert (await client.get("/providers/openai")).status_code == 404


async def test_the_key_is_told_to_nobody_and_lies_sealed(yard: Yard) -> None:
    async with yard.client() as client:
        told = [
            await client.put("/providers/openai", json=body()),
            await client.get("/providers/openai"),
            await client.get("/providers"),
            await client.post("/providers/openai/test"),
            await client.put("/providers/openai", json=body(base_url="nowhere")),
            await client.put("/providers/openai", json=body(api_key=f"{KEY} \u00e9")),
            await client.put("/providers/openai", json=body(api_key=[KEY])),
            await client.put("/providers/openai", json=body(forward_headers=[f"x {KEY}"])),
            await client.put("/providers/NAME", json=body()),
        ]
    assert [answer.status_code for answer in told] == [201, 200, 200, 200] + [400] * 5
    assert [answer for answer in told if "canary" in answer.text.replace(f"x {KEY}", "")] == []
    with yard.store.connection(writes=False) as connection:
        [sealed] = connection.execute(text("SELECT sealed FROM providers")).scalars()
    assert b"canary" not in sealed
    # Sealed for this tenant and this provider: moved elsewhere it is no key.
    service = yard.services.providers
    provider, key = service.opened(yard.tenant, "openai")
    assert key is not None
    assert key.reveal() == KEY
    assert KEY not in f"{key} {key!r} {provider!r}"
    sealer = service._sealer
    for about in ((yard.other, provider.id), (yard.tenant, "prv_other"), ()):
        with pytest.raises(Conflict, match="cannot be opened"):
            sealer.open(provider.sealed, *about)


async def test_a_key_does_not_follow_its_provider_to_another_address(yard: Yard) -> None:
    async with yard.client() as client:
        await client.put("/providers/openai", json=body())
        for elsewhere in ("http://api.example.com/v1", "https://evil.example.com/v1", f"{URL}/x"):
            moved = await client.put("/providers/openai", json={"base_url": elsewhere})
            assert moved.status_code == 400
            assert "give its key again" in moved.json()["detail"]
        bare = await client.put("/providers/openai", json=body(api_key=""))
        assert bare.json()["has_key"] is False
        assert (await client.put("/providers/openai", json={"base_url": "http://x"})).is_success


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com",
        "ftp://api.example.com",
        "https://user:pass@api.example.com/v1",
        "https://user@api.example.com/v1",
        "https://api.example.com/v1?key=1",
        "https://api.example.com/v1#x",
        "https://",
        "https://api.example.com:99999/v1",
        "https://[::1/v1",
        "https://api.exam ple.com/v1",
        "https://api.example.com/v\u00e9",
        "file:///etc/passwd",
    ],
)
async def test_what_is_no_base_url_is_refused(yard: Yard, url: str) -> None:
    async with yard.client() as client:
        refused = await client.put("/providers/openai", json={"base_url": url})
    assert (refused.status_code, "base_url" in refused.json()["detail"]) == (400, True)


@pytest.mark.parametrize("name", ["Authorization", "cookie", "x-api-key", "host", "a b", ""])
async def test_headers_that_hold_our_keys_are_never_passed_on(yard: Yard, name: str) -> None:
    async with yard.client() as client:
        refused = await client.put("/providers/openai", json=body(forward_headers=[name]))
    assert refused.status_code == 400


async def test_another_tenant_and_a_smaller_key_see_nothing(yard: Yard) -> None:
    async with yard.client() as client:
        await client.put("/providers/openai", json=body())
    async with yard.client(other=True) as other:
        assert (await other.get("/providers")).json()["items"] == []
        for call in (
            other.get("/providers/openai"),
            other.delete("/providers/openai"),
            other.post("/providers/openai/test"),
        ):
            assert (await call).status_code == 404
        assert (await other.put("/providers/openai", json={"base_url": URL})).status_code == 201
    async with yard.client(Scope.INFER) as small:
        assert (await small.get("/providers")).status_code == 403
        assert (await small.put("/providers/openai", json=body())).status_code == 403


async def test_a_test_asks_with_the_key(yard: Yard) -> None:
    async with yard.client() as client:
        await client.put("/providers/openai", json=body())
        await client.put("/providers/bare", json={"base_url": URL})
        assert (await client.post("/providers/openai/test")).json() == {
            "reason": "",
            "milliseconds": 1.5,
            "models": ["gpt"],
        }
        assert (await client.post("/providers/bare/test")).json()["reason"] == "no key"
