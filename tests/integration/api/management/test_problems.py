"""Whatever goes wrong is told as problem+json, without a word about the server's insides."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from modelyard.api.management import make_management_app

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}


def _check(answer: httpx2.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["code"] == code
    assert told["title"]
    assert told["detail"]
    assert "Traceback" not in answer.text
    assert "/src/" not in answer.text


async def test_unknown_routes_and_methods(yard: Yard) -> None:
    async with yard.client() as client:
        _check(await client.get("/nope"), 404, "not_found")
        _check(await client.get("http://yard/"), 404, "not_found")
        refused = await client.patch("/deployments/x", json={})
        _check(refused, 405, "method_not_allowed")
        assert {"GET", "PUT", "DELETE"} <= set(refused.headers["allow"].split(", "))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"nul",
        b"{}{}",
        b"\xff\xfe",
        b'{"name": "\xc3"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b", "scope": "infer"}',
        b'{"name": NaN}',
        b'{"kind": "train", "spec": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
        b"[" * 100_000,
    ],
)
async def test_what_is_not_json_is_refused(yard: Yard, content: bytes) -> None:
    async with yard.client() as client:
        for path in ("/keys", "/jobs"):
            _check(await client.post(path, content=content, headers=JSON), 400, "invalid")


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
async def test_only_json_is_taken(yard: Yard, kind: str) -> None:
    body = b'{"name":"a","scope":"infer"}'
    async with yard.client() as client:
        refused = await client.post("/keys", content=body, headers={"content-type": kind})
        _check(refused, 415, "unsupported_format")
        taken = await client.post(
            "/keys", content=body, headers={"content-type": "Application/JSON; charset=utf-8"}
        )
        assert taken.status_code == 201


async def test_a_body_over_a_mebibyte_is_refused(yard: Yard) -> None:
    async with yard.client() as client:
        large = b'{"name": "' + b"a" * (1 << 20) + b'"}'
        _check(await client.post("/keys", content=large, headers=JSON), 413, "too_large")
        _check(await client.put("/deployments/x", content=large, headers=JSON), 413, "too_large")


@pytest.mark.parametrize("path", ["/models/a%00b", "/models?cursor=%00", "/usage?since=%00"])
async def test_a_nul_goes_nowhere(yard: Yard, path: str) -> None:
    async with yard.client() as client:
        _check(await client.get(path), 400, "invalid")


async def test_a_bug_is_logged_under_the_id_that_the_caller_gets(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def list(self, *_: Any) -> Any:
            raise RuntimeError("secret detail in /srv/home")

    services = dataclasses.replace(yard.services, jobs=Broken())  # type: ignore[arg-type]
    async with yard.client(app=make_management_app(services)) as client:
        answer = await client.get("/jobs")
    _check(answer, 500, "internal")
    request_id = answer.headers["x-request-id"]
    assert request_id in answer.json()["detail"]
    assert "secret detail" not in answer.text
    record = next(each for each in caplog.records if each.levelno == logging.ERROR)
    assert record.__dict__["request_id"] == request_id
    assert record.__dict__["route"] == "/api/v1/jobs"
    assert record.exc_info is not None


async def test_every_answer_has_an_id_and_safe_headers(yard: Yard) -> None:
    async with yard.client() as client, yard.client(None) as nobody:
        answers = [
            await client.get("/keys"),
            await client.get("/nope"),
            await client.patch("/keys"),
            await client.get("http://yard/docs"),
            await client.options("/keys"),
            await nobody.get("/keys"),
        ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
