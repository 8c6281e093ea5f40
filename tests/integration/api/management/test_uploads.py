"""Uploads over HTTP, and what is built on them: datasets and imports."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

CSV = b"age,plan,left\n" + b"".join(
    b"%d,%s,%s\n" % (20 + n, (b"basic", b"pro")[n % 2], (b"no", b"yes")[n % 3 == 0])
    for n in range(40)
)


def _path(content: bytes) -> str:
    return f"/uploads/{hashlib.sha256(content).hexdigest()}"


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]


async def test_a_file_is_kept_once(yard: Yard) -> None:
    content = bytes(range(256)) * 10_000
    async with yard.client() as client, yard.client(other=True) as stranger:
        first = await client.put(_path(content), content=_in_pieces(content))
        again = await client.put(_path(content), content=content)
        theirs = await stranger.put(_path(content), content=content)
    assert (first.status_code, again.status_code, theirs.status_code) == (201, 200, 201)
    assert first.json()["size"] == len(content)
    assert first.json() == again.json()
    assert list(yard.uploads.iterdir()) == []


async def test_an_empty_file_is_a_file(yard: Yard) -> None:
    async with yard.client() as client:
        assert (await client.put(_path(b""), content=b"")).status_code == 201


async def test_bytes_that_are_not_the_named_ones_are_refused(yard: Yard) -> None:
    async with yard.client() as client:
        wrong = await client.put(_path(b"one"), content=b"two")
        after = await client.post(
            "/datasets",
            json={"name": "d", "upload": _path(b"one")[9:], "filename": "one.csv"},
        )
        for digest in ("x", "A" * 64, "..%2f..%2fetc"):
            assert (await client.put(f"/uploads/{digest}", content=b"x")).status_code in (400, 404)
    assert wrong.status_code == 400
    assert "SHA-256" in wrong.json()["detail"]
    assert after.status_code == 404
    assert list(yard.uploads.iterdir()) == []


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_over_the_bound_is_refused(yard: Yard, announced: bool) -> None:
    content = b"x" * ((3 << 20) + 1)
    async with yard.client() as client:
        body = content if announced else _in_pieces(content)
        answer = await client.put(_path(content), content=body)
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert list(yard.uploads.iterdir()) == []


async def test_a_dataset_and_a_job_on_it(yard: Yard) -> None:
    async with yard.client() as client:
        upload = (await client.put(_path(CSV), content=CSV)).json()
        body = {"name": "churn", "upload": upload["digest"], "filename": "churn.csv"}
        added = await client.post("/datasets", json=body)
        assert added.status_code == 201, added.text
        version = added.json()
        assert (version["number"], version["inspection"]["rows"]) == (1, 40)
        assert [c["name"] for c in version["inspection"]["columns"]] == ["age", "plan", "left"]
        assert (await client.get("/datasets/churn")).json()["latest"] == 1
        assert (await client.get("/datasets/churn/versions/1")).json() == version
        assert (await client.get("/datasets/churn/versions")).json()["items"] == [version]

        spec = {"model": "churn", "dataset": "churn", "target": "left"}
        submitted = await client.post("/jobs", json={"kind": "train", "spec": spec})
        assert submitted.status_code == 202, submitted.text
        job = submitted.json()
        assert (job["state"], job["spec"]["dataset_version"]) == ("queued", 1)
        assert not {"tenant_id", "fence", "worker_id", "lease_until"} & set(job)
        assert (await client.get("/jobs")).json()["items"] == [job]
        events = (await client.get(f"/jobs/{job['id']}/events")).json()
        assert isinstance(events["items"], list)
        cancelled = await client.post(f"/jobs/{job['id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")

        bad = await client.post("/jobs", json={"kind": "train", "spec": {**spec, "target": "x"}})
        assert bad.status_code == 400
        assert "target" in bad.json()["detail"]
        unknown = await client.post("/jobs", json={"kind": "bake", "spec": {}})
        assert unknown.status_code == 400


async def test_what_is_no_model_is_not_imported(yard: Yard) -> None:
    async with yard.client() as client:
        await client.put(_path(CSV), content=CSV)
        body = {"upload": _path(CSV)[9:], "filename": "model.pkl"}
        answer = await client.post("/models/churn/versions", json=body)
        missing = await client.get("/models/churn")
    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_format"
    assert missing.status_code == 404


async def test_a_broken_model_is_a_version_that_has_failed(yard: Yard) -> None:
    pickle = b"\x80\x04\x95" + b"x" * 100
    async with yard.client() as client:
        await client.put(_path(pickle), content=pickle)
        body = {"upload": _path(pickle)[9:], "filename": "model.pkl"}
        answer = await client.post("/models/churn/versions", json=body)
        assert answer.status_code == 201
        version = answer.json()
        assert (version["number"], version["state"]) == (1, "failed")
        assert "model.pkl" in version["reason"]
        assert (await client.get("/models/churn")).json()["latest"] == 0
        aliased = await client.put("/models/churn/aliases/champion", json={"version": 1})
        deployed = await client.put("/deployments/churn", json={"model": "churn:1"})
        latest = await client.put("/deployments/churn", json={"model": "churn"})
    assert (aliased.status_code, deployed.status_code, latest.status_code) == (409, 409, 404)
    assert version["reason"] in deployed.json()["detail"]


async def test_an_upload_is_resumed(yard: Yard) -> None:
    content = bytes(range(256)) * 5_000
    path, half = _path(content), len(content) // 2
    more = {"upload-complete": "?0"}
    async with yard.client() as client, yard.client(other=True) as stranger:
        assert (await client.head(path)).status_code == 404
        first = await client.patch(
            path, content=content[:half], headers={**more, "upload-offset": "0"}
        )
        assert (first.status_code, first.headers["upload-offset"]) == (204, str(half))
        told = await client.head(path)
        assert told.headers["upload-offset"] == str(half)
        assert told.headers["upload-complete"] == "?0"
        assert (await stranger.head(path)).status_code == 404
        wrong = await client.patch(path, content=b"x", headers={"upload-offset": "7"})
        assert (wrong.status_code, wrong.json()["code"]) == (409, "conflict")
        for odd in ({}, {"upload-offset": "-1"}, {"upload-offset": "x"},
                    {"upload-offset": "0", "upload-complete": "yes"}):  # fmt: skip
            assert (await client.patch(path, content=b"x", headers=odd)).status_code == 400
        last = await client.patch(
            path, content=content[half:], headers={"upload-offset": str(half)}
        )
        assert (last.status_code, last.json()["size"]) == (201, len(content))
        assert (await client.head(path)).headers["upload-complete"] == "?1"
        assert (await client.delete(path)).status_code == 404
    assert list(yard.uploads.iterdir()) == []


async def test_an_upload_is_given_up(yard: Yard) -> None:
    headers = {"upload-offset": "0", "upload-complete": "?0"}
    async with yard.client() as client, yard.client(other=True) as stranger:
        await client.patch(_path(b"whole"), content=b"wh", headers=headers)
        assert (await stranger.delete(_path(b"whole"))).status_code == 404
        assert (await client.delete(_path(b"whole"))).status_code == 204
        assert (await client.head(_path(b"whole"))).status_code == 404
    assert list(yard.uploads.iterdir()) == []
