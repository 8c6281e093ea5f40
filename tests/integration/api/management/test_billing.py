"""Prices and usage over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelyard.core.events import PredictionMade

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio


def _use(yard: Yard, requests: int, rows: int) -> None:
    at = int(yard.clock.now().timestamp() * 1_000_000)
    events = [
        PredictionMade(
            f"req_{n}", at, yard.tenant, "key_1", "shop", "churn", 1, 200, rows, 10, 20, 1500
        )
        for n in range(requests)
    ]
    with yard.store.begin() as tx:
        tx.ledger().append("jrn_1", 100, events)


async def test_usage_costs_exactly_what_the_price_says(yard: Yard) -> None:
    async with yard.client() as client:
        price = await client.post(
            "/prices", json={"deployment": "shop", "unit": "row", "amount": "0.0000001"}
        )
        assert price.status_code == 201
        assert price.json()["price"] == {"amount": "0.0000001", "currency": "USD"}
        yard.clock.advance(1)
        _use(yard, requests=3, rows=7)
        day = (await client.get("/usage", params={"since": "2026-01-01"})).json()["items"]
        key = (await client.get("/usage", params={"by": "key"})).json()["items"]
        later = await client.get("/usage", params={"since": "2026-01-02T00:00:00+00:00"})
    assert len(day) == 1
    assert (day[0]["group"], day[0]["requests"], day[0]["rows"]) == ("2026-01-01", 3, 21)
    assert (day[0]["cost"], day[0]["currency"], day[0]["mean_ms"]) == ("0.0000021", "USD", 1.5)
    assert key[0]["group"] == "key_1"
    assert later.json()["items"] == []


@pytest.mark.parametrize("amount", ["-1", "NaN", "1e400", "x", "", 0.1, "1" * 41])
async def test_a_price_is_a_bounded_decimal(yard: Yard, amount: object) -> None:
    async with yard.client() as client:
        answer = await client.post(
            "/prices", json={"deployment": "shop", "unit": "row", "amount": amount}
        )
    assert answer.status_code == 400
    assert "amount" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    ["by=year", "since=tomorrow", "since=2026-01-01T00:00:00", "since=2026-02-01&until=2026-01-01"],
)
async def test_a_bad_question_about_usage_is_refused(yard: Yard, query: str) -> None:
    async with yard.client() as client:
        answer = await client.get(f"/usage?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"]


async def test_a_wrong_choice_is_told_the_right_ones(yard: Yard) -> None:
    async with yard.client() as client:
        answer = await client.get("/usage?by=year")
    assert "'day' or 'key' or 'model' or 'deployment' or 'tenant'" in answer.json()["detail"]
