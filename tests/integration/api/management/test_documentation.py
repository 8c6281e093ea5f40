"""The description says what the routes do, and its page needs nobody else."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from litestar.routes import HTTPRoute

import modelyard.api.management
from modelyard.api.management.application import make_litestar
from modelyard.core.access import Scope

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATIC = Path(modelyard.api.management.__file__).parent / "static"


async def _description(yard: Yard) -> dict[str, Any]:
    async with yard.client(Scope.INFER) as client:
        answer = await client.get("http://yard/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    described: dict[str, Any] = answer.json()
    return described


def _operations(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in description["paths"].items()
        for method, operation in item.items()
    ]


async def test_every_route_is_described(yard: Yard) -> None:
    description = await _description(yard)
    assert description["openapi"].startswith("3.1.")
    routes = {
        (method.lower(), route.path_format)
        for route in make_litestar(yard.services).routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/v1")
        for method in route.route_handler_map
        if method != "OPTIONS"
    }
    assert {(method, path) for method, path, _ in _operations(description)} == routes


async def test_every_operation_is_told_in_full(yard: Yard) -> None:
    description = await _description(yard)
    tags = {tag["name"] for tag in description["tags"]}
    ids = set()
    for method, path, operation in _operations(description):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert set(operation["tags"]) <= tags, where
        ids.add(operation["operationId"])
        failures = {"400", "401", "403", "503"}
        if "requestBody" in operation and "{digest}" not in path:
            failures |= {"413", "415"}
        # Who has no key yet has no tenant in which an answer could be kept.
        if method == "post" and path not in ("/api/v1/sessions", "/api/v1/passwords"):
            failures |= {"409", "422"}
            assert "Idempotency-Key" in [p["name"] for p in operation["parameters"]], where
        if "{" in path and "{digest}" not in path:
            failures.add("404")
        assert failures <= set(operation["responses"]), where
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], where
    assert len(ids) == len(_operations(description))


async def test_every_reference_leads_somewhere_and_names_no_module(yard: Yard) -> None:
    description = await _description(yard)
    schemas = description["components"]["schemas"]
    found = set(re.findall(r"#/components/schemas/([^'\"]+)", str(description)))
    assert found <= set(schemas)
    assert [name for name in schemas if not re.fullmatch(r"[A-Za-z]+", name)] == []
    assert description["security"] == [{"key": []}]


async def test_bodies_have_examples_and_take_no_unknown_fields(yard: Yard) -> None:
    description = await _description(yard)
    bodies = 0
    for _, path, operation in _operations(description):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            schema = description["components"]["schemas"][name]
            assert schema["additionalProperties"] is False, name
            assert any("examples" in each for each in schema["properties"].values()), name
            bodies += 1
        elif content:
            assert path == "/api/v1/uploads/{digest}"
    assert bodies >= 7


async def test_the_page_loads_only_from_here(yard: Yard) -> None:
    async with yard.client(Scope.INFER) as client:
        page = await client.get("http://yard/docs")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(loaded) == 4
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=", page.text)
        for address in loaded:
            if address != "data:,":
                assert address.startswith("/docs/")
                file = await client.get(f"http://yard{address}")
                assert file.status_code == 200, address
                assert file.headers["content-security-policy"] == policy
        for missing in ("README.md", "LICENSE", "..%2fapplication.py", "%2e%2e"):
            assert (await client.get(f"http://yard/docs/{missing}")).status_code == 404


async def test_what_is_vendored_is_unchanged() -> None:
    table = re.findall(r"\| (\S+) \| ([0-9a-f]{64}) \|", (STATIC / "README.md").read_text())
    assert len(table) == 5
    for name, digest in table:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name
