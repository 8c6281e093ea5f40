"""A POST that is sent twice happens once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from litestar.routes import HTTPRoute

from modelyard.api.management import make_management_app
from modelyard.api.management.application import make_litestar
from modelyard.api.management.authorization import VISITORS
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.ports import ManagementTransaction
from modelyard.core.access import Scope
from modelyard.core.errors import Unavailable
from modelyard.core.idempotency import ABANDONED

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICE = {"deployment": "shop", "unit": "row", "amount": "1"}


async def _post(
    client: httpx2.AsyncClient, key: str, path: str = "/prices", json: Any = PRICE
) -> httpx2.Response:
    return await client.post(path, json=json, headers={"Idempotency-Key": key})


async def test_every_post_is_described_as_idempotent(yard: Yard) -> None:
    posts = [
        route.route_handler_map["POST"][0]
        for route in make_litestar(yard.services).routes
        if isinstance(route, HTTPRoute) and "POST" in route.route_handler_map
    ]
    assert len(posts) >= 7
    known = [handler for handler in posts if VISITORS not in handler.opt]
    assert len(posts) - len(known) == 2
    assert all(handler.operation_class is Idempotent for handler in known)


async def test_the_same_request_gets_the_same_answer(yard: Yard) -> None:
    async with yard.client() as client:
        first, again = await _post(client, "k"), await _post(client, "k")
        prices = (await client.get("/prices")).json()["items"]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first.headers["content-type"] == again.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert len(prices) == 1


async def test_without_a_key_it_happens_each_time(yard: Yard) -> None:
    async with yard.client() as client:
        for _ in range(2):
            await client.post("/prices", json=PRICE)
        assert len((await client.get("/prices")).json()["items"]) == 2


async def test_another_request_with_the_same_key_is_a_mismatch(yard: Yard) -> None:
    async with yard.client() as client:
        await _post(client, "k")
        other_body = await _post(client, "k", json={**PRICE, "amount": "2"})
        other_path = await _post(client, "k", "/prices?x=1")
        assert len((await client.get("/prices")).json()["items"]) == 1
    assert (other_body.status_code, other_path.status_code) == (422, 422)
    assert other_body.json()["code"] == "idempotency_mismatch"


async def test_refusals_are_answered_again_too(yard: Yard) -> None:
    async with yard.client() as client:
        first = await _post(client, "k", json={"deployment": "shop"})
        again = await _post(client, "k", json={"deployment": "shop"})
    assert (first.status_code, again.status_code) == (400, 400)
    assert first.content == again.content
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotent-replayed"] == "true"


async def test_each_tenant_has_its_own_keys(yard: Yard) -> None:
    async with yard.client() as client, yard.client(other=True) as stranger:
        await _post(client, "k")
        theirs = await _post(stranger, "k")
        assert len((await stranger.get("/prices")).json()["items"]) == 1
    assert "idempotent-replayed" not in theirs.headers


async def test_a_narrow_key_gets_no_stored_answer(yard: Yard) -> None:
    async with yard.client() as client, yard.client(Scope.INFER) as narrow:
        await _post(client, "k")
        assert (await _post(narrow, "k")).status_code == 403


async def test_twenty_at_once_happen_once(yard: Yard) -> None:
    async with yard.client() as client:
        answers = await asyncio.gather(*(_post(client, "k") for _ in range(20)))
        prices = (await client.get("/prices")).json()["items"]
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {201, 409}
    assert 201 in statuses
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert len(prices) == 1


async def test_a_claim_whose_process_died_is_refused_and_then_taken_over(yard: Yard) -> None:
    async with yard.client() as client:
        first = await _post(client, "k")
        with yard.store.begin() as tx:
            keys = tx.idempotency(yard.tenant)
            assert keys.claim("dead", "f", yard.clock.now()) is None
        assert (await _post(client, "dead")).status_code == 422
        await _post(client, "k2")
    assert first.status_code == 201
    yard.clock.advance(ABANDONED / timedelta(seconds=1) + 1)
    with yard.store.begin() as tx:
        assert tx.idempotency(yard.tenant).claim("dead", "f", yard.clock.now()) is None


async def test_a_failure_of_the_server_may_be_tried_again(yard: Yard) -> None:
    class Away:
        """A billing service whose database is away at first."""

        def __init__(self) -> None:
            self.calls = 0

        def set_price(self, *arguments: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise Unavailable("the database is away", retry_after=3)
            if self.calls == 2:
                raise RuntimeError("a bug")
            return yard.services.billing.set_price(*arguments)

    services = dataclasses.replace(yard.services, billing=Away())  # type: ignore[arg-type]
    async with yard.client(app=make_management_app(services)) as client:
        away, broken, done = [await _post(client, "k") for _ in range(3)]
    assert (away.status_code, broken.status_code, done.status_code) == (503, 500, 201)
    assert away.headers["retry-after"] == "3"
    assert "idempotent-replayed" not in done.headers


async def test_an_answer_outlives_a_store_that_fails_to_keep_it(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        """The store, which goes away after the claim."""

        def __init__(self) -> None:
            self.begun = 0

        @contextmanager
        def begin(self) -> Iterator[ManagementTransaction]:
            self.begun += 1
            if self.begun > 1:
                raise Unavailable("the database is away")
            with yard.store.begin() as tx:
                yield tx

        read = begin

    services = dataclasses.replace(yard.services, store=Failing())
    async with yard.client(app=make_management_app(services)) as client:
        answer = await _post(client, "k")
    assert answer.status_code == 201
    assert "could not be settled" in caplog.text
    async with yard.client() as client:
        assert (await _post(client, "k")).status_code == 409


async def test_a_new_keys_secret_is_not_kept_for_whoever_asks_again(yard: Yard) -> None:
    body = {"name": "shop", "scope": "infer"}
    async with yard.client() as client:
        first = await _post(client, "k", "/keys", body)
        again = await _post(client, "k", "/keys", body)
        keys = (await client.get("/keys")).json()["items"]
    secret = first.json()["key"]
    assert again.status_code == 409
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] in again.json()["detail"]
    assert secret not in again.text
    assert len(keys) == 1
    with yard.store.connection(writes=False) as connection:
        kept = connection.exec_driver_sql("SELECT body FROM idempotency_keys").scalars().all()
    assert kept
    assert all(secret.encode() not in bytes(each) for each in kept)


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "tab\there"])
async def test_a_key_is_1_to_255_printable_characters(yard: Yard, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    async with yard.client() as client:
        answer = await client.post("/prices", json=PRICE, headers=headers)
        assert (await _post(client, "x" * 255)).status_code == 201
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


async def test_two_keys_are_no_key(yard: Yard) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    async with yard.client() as client:
        answer = await client.post("/prices", json=PRICE, headers=headers)
    assert answer.status_code == 400


async def test_a_body_over_the_bound_is_refused_before_it_claims(yard: Yard) -> None:
    async with yard.client() as client:
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        large = await client.post("/prices", content=b" " * (1 << 20) + b"{}", headers=headers)
        assert large.status_code == 413
        assert (await _post(client, "k")).status_code == 201
