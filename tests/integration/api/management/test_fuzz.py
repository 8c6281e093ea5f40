"""No request, however odd, makes the server fail: thousands of them, and never a 5xx."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.routes import HTTPRoute

from modelyard.api.management.application import make_litestar

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

WORDS = ["churn", "infer", "admin", "row", "1e9", "churn@champion", "churn:1", "train", "left"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from([*WORDS, "0" * 64, "2026-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = (
    "amount cursor dataset deployment description expires_at filename kind model name scope spec "
    "target unit upload version"
)
TRAIN = "alias algorithm dataset_version exclude folds include metric parameters seed task"
SPECS = st.fixed_dictionaries(
    {"model": st.just("churn"), "dataset": st.just("churn"), "target": st.just("left")},
    optional=dict.fromkeys(TRAIN.split(), VALUES),
)
JOBS = st.fixed_dictionaries({"kind": st.just("train"), "spec": SPECS})
BODIES = st.dictionaries(st.sampled_from(FIELDS.split()), VALUES, max_size=5) | JOBS
SEGMENTS = st.text(min_size=1, max_size=30) | st.sampled_from(["churn", "1", "champion", "key_1"])
ODD = settings(max_examples=150)


@pytest.fixture(scope="module")
def fuzzed(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Yard, list[tuple[str, str]]]]:
    """One installation for all requests of this module, and its routes."""
    from tests.integration.api.management.conftest import Yard

    yard = Yard(tmp_path_factory.mktemp("fuzz"))
    yard.begin()
    yard.version("churn")
    yard.dataset("churn")
    routes = [
        (method, route.path_format)
        for route in make_litestar(yard.services).routes
        if isinstance(route, HTTPRoute)
        for method in route.route_handler_map
    ]
    yield yard, sorted(routes)
    yard.store.close()


def _ask(yard: Yard, method: str, path: str, **parts: Any) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with yard.client() as client:
            return await client.request(method, f"http://yard{path}", **parts)

    return asyncio.run(ask())


def _check(answer: httpx2.Response) -> None:
    assert answer.status_code < 500, answer.text
    # An answer to HEAD has no body.
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["detail"]
        assert told["status"] == answer.status_code


def _fill(path: str, data: st.DataObject) -> str:
    while "{" in path:
        head, _, rest = path.partition("{")
        path = head + quote(data.draw(SEGMENTS), safe="") + rest.partition("}")[2]
    return path


@ODD
@given(data=st.data())
def test_odd_json_is_never_a_failure_of_the_server(
    fuzzed: tuple[Yard, list[tuple[str, str]]], data: st.DataObject
) -> None:
    yard, routes = fuzzed
    writing = [each for each in routes if each[0] in ("POST", "PUT") and "uploads" not in each[1]]
    method, path = data.draw(st.sampled_from(writing))
    body = msgspec.json.encode(data.draw(BODIES))
    headers = {"content-type": "application/json"}
    if data.draw(st.booleans()):
        headers["idempotency-key"] = data.draw(st.sampled_from("abc"))
    _check(_ask(yard, method, _fill(path, data), content=body, headers=headers))


@ODD
@given(data=st.data(), body=st.binary(max_size=300))
def test_odd_bytes_are_never_a_failure_of_the_server(
    fuzzed: tuple[Yard, list[tuple[str, str]]], data: st.DataObject, body: bytes
) -> None:
    yard, routes = fuzzed
    method, path = data.draw(st.sampled_from(routes))
    headers = {"content-type": data.draw(st.sampled_from(["application/json", "text/x", ""]))}
    _check(_ask(yard, method, _fill(path, data), content=body, headers=headers))


@ODD
@given(data=st.data())
def test_odd_questions_are_never_a_failure_of_the_server(
    fuzzed: tuple[Yard, list[tuple[str, str]]], data: st.DataObject
) -> None:
    yard, routes = fuzzed
    reading = [path for method, path in routes if method == "GET" and "docs" not in path]
    path = _fill(data.draw(st.sampled_from(reading)), data)
    values = st.text(max_size=30) | st.integers(-(2**70), 2**70).map(str)
    known = st.sampled_from(["limit", "cursor", "after", "by", "since", "until"])
    params = data.draw(st.dictionaries(known, values, max_size=4))
    _check(_ask(yard, "GET", path, params=params))


@pytest.mark.parametrize("depth", [10, 100, 300, 600, 900, 990, 2000])
def test_deep_parameters_are_never_a_failure_of_the_server(
    fuzzed: tuple[Yard, list[tuple[str, str]]], depth: int
) -> None:
    yard, _ = fuzzed
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    spec = b'{"model":"m","dataset":"churn","target":"left","parameters":%s}' % nested
    headers = {"content-type": "application/json"}
    body = b'{"kind":"train","spec":%s}' % spec
    answer = _ask(yard, "POST", "/api/v1/jobs", content=body, headers=headers)
    _check(answer)
    _check(_ask(yard, "GET", "/api/v1/jobs", params={"limit": 200}))
