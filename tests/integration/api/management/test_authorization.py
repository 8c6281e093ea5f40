"""No route answers without a grant that reaches it, and none knows another tenant's things."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from litestar.routes import HTTPRoute

from modelyard.api.management.application import make_litestar
from modelyard.api.management.authorization import NEEDS, needed
from modelyard.core.access import Permission, Scope, permissions_of

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

_OF_ONES_OWN = {
    "/api/v1/tenants",
    "/api/v1/tenants/{name}",
    "/api/v1/sessions/current",
    "/api/v1/me",
    "/api/v1/me/password",
}
_FOR_VISITORS = {"/api/v1/sessions", "/api/v1/passwords"}
_OPEN_TO_ALL_KEYS = {"/openapi.json", "/docs", "/docs/{name}"}


def _routes(yard: Yard) -> Iterator[tuple[str, str, Permission | None]]:
    """Every registered route: method, a path that fits it, and the permission that it needs."""
    for route in make_litestar(yard.services).routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            yield method, route.path_format, needed(handler.opt, method)


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


@pytest.mark.parametrize("scope", ["infer", "billing:read", "models:write keys:read", "manage"])
async def test_a_key_reaches_the_routes_that_its_scope_holds(yard: Yard, scope: str) -> None:
    async with yard.client(scope) as client:
        for method, path, permission in _routes(yard):
            answer = await client.request(method, f"http://yard{_filled(path)}")
            if permission is None or permission in permissions_of(scope):
                # A key is no login, which is what these are about.
                person = path in ("/api/v1/sessions/current", "/api/v1/me/password")
                refused = (401, 500) if person else (401, 403, 500)
                assert answer.status_code not in refused, (method, path, answer.text)
            else:
                assert answer.status_code == 403, (method, path)
                assert method == "HEAD" or answer.json()["code"] == "forbidden"


async def test_the_operator_reaches_every_route(yard: Yard) -> None:
    async with yard.client(Scope.ADMIN) as client:
        for method, path, _ in _routes(yard):
            answer = await client.request(method, f"http://yard{_filled(path)}")
            if path != "/api/v1/sessions/current":
                assert answer.status_code not in (401, 403, 500), (method, path, answer.text)


async def test_every_route_says_what_it_needs(yard: Yard) -> None:
    undeclared = [
        route.path_format
        for route in make_litestar(yard.services).routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if method != "OPTIONS" and NEEDS not in handler.opt
    ]
    assert undeclared == []
    open_to_all = {path for _, path, permission in _routes(yard) if permission is None}
    assert open_to_all == {*_OPEN_TO_ALL_KEYS, *_OF_ONES_OWN, *_FOR_VISITORS}
