"""No route answers without a grant that reaches it, and none knows another tenant's things."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from litestar.routes import HTTPRoute

from modelyard.api.management.application import make_litestar
from modelyard.api.management.authorization import needed
from modelyard.core.access import Scope

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio

_OPEN_TO_ALL_KEYS = {"/openapi.json", "/docs", "/docs/{name}"}


def _routes(yard: Yard) -> Iterator[tuple[str, str, Scope]]:
    """Every registered route: method, a path that fits it, and the scope that it declares."""
    for route in make_litestar(yard.services).routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            yield method, route.path_format, needed(handler.opt)


def _filled(path: str) -> str:
    return path.replace("{number}", "1").replace("{", "a").replace("}", "a")


async def test_every_route_refuses_a_request_without_a_grant(yard: Yard) -> None:
    async with yard.client(None) as client:
        for method, path, _ in _routes(yard):
            answer = await client.request(method, f"http://yard{_filled(path)}")
            assert answer.status_code == 401, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_unknown_paths_and_other_grants_are_refused_alike(yard: Yard) -> None:
    async with yard.client(None) as client:
        assert (await client.get("/nope")).status_code == 401
        assert (await client.request("BREW", "/keys")).status_code == 401


async def test_a_key_for_inference_reaches_the_documentation_alone(yard: Yard) -> None:
    async with yard.client(Scope.INFER) as client:
        for method, path, _ in _routes(yard):
            answer = await client.request(method, f"http://yard{_filled(path)}")
            if path in _OPEN_TO_ALL_KEYS:
                assert answer.status_code in (200, 204, 404), (method, path)
            else:
                assert answer.status_code == 403, (method, path)
                assert method == "HEAD" or answer.json()["code"] == "forbidden"


@pytest.mark.parametrize("scope", [Scope.MANAGE, Scope.ADMIN])
async def test_wider_keys_reach_every_route(yard: Yard, scope: Scope) -> None:
    async with yard.client(scope) as client:
        for method, path, declared in _routes(yard):
            answer = await client.request(method, f"http://yard{_filled(path)}")
            assert scope.allows(declared)
            assert answer.status_code not in (401, 403, 500), (method, path, answer.text)


async def test_everything_under_the_api_needs_manage(yard: Yard) -> None:
    scopes = {scope for _, path, scope in _routes(yard) if path.startswith("/api/v1/")}
    assert scopes == {Scope.MANAGE}


async def test_another_tenants_things_look_as_if_they_were_not_there(yard: Yard) -> None:
    yard.version("churn")
    services, tenant = yard.services, yard.tenant
    services.registry.set_alias(tenant, "churn", "champion", 1)
    key, _ = services.tenancy.create_key(tenant, "theirs", Scope.INFER)
    async with yard.client() as owner, yard.client(other=True) as stranger:
        await owner.put("/deployments/churn", json={"model": "churn@champion"})
        await owner.post("/prices", json={"deployment": "churn", "unit": "row", "amount": "1"})
        for path in ("/models", "/deployments", "/keys", "/prices", "/jobs", "/datasets", "/usage"):
            assert (await stranger.get(path)).json()["items"] == [], path
        for method, path, body in (
            ("GET", "/models/{}", None),
            ("GET", "/models/{}/versions", None),
            ("GET", "/models/{}/versions/1", None),
            ("GET", "/models/{}/aliases", None),
            ("PUT", "/models/{}/aliases/champion", {"version": 1}),
            ("DELETE", "/models/{}/aliases/champion", None),
            ("GET", "/deployments/{}", None),
            ("DELETE", "/deployments/{}", None),
            ("POST", "/keys/{}/revoke", None),
        ):
            theirs = key.id if "keys" in path else "churn"
            missing = theirs[:-1] + ("x" if theirs[-1] != "x" else "y")
            known = await stranger.request(method, path.format(theirs), json=body)
            unknown = await stranger.request(method, path.format(missing), json=body)
            assert known.status_code == unknown.status_code == 404, (method, path)
            assert known.text.replace(theirs, "?") == unknown.text.replace(missing, "?")
        assert (await owner.get("/deployments/churn")).status_code == 200
        assert (await owner.get("/models/churn/aliases")).json()["items"][0]["version"] == 1
