"""Prices and usage over HTTP."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow.parquet
import pytest

from modelyard.billing import export
from modelyard.billing.rate import Rate, Unit
from modelyard.billing.service import NewPrice
from modelyard.core.access import Scope
from modelyard.core.events import PredictionMade

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


async def test_an_invoice_from_usage_to_paper(yard: Yard) -> None:
    async with yard.client(Scope.ADMIN) as client:
        profile = {"party": {"name": "Acme", "address": ["1 Road"]}, "tax_rate": "0.2"}
        assert (await client.put("/billing-profile", json=profile)).status_code == 200
        assert (await client.post("/invoices")).status_code == 409
        price = {"deployment": "shop", "unit": "row", "amount": "0.10"}
        assert (await client.post("/prices", json=price)).status_code == 201
        yard.clock.advance(1)
        _use(yard, requests=3, rows=7)
        draft = (await client.post("/invoices")).json()
        assert (draft["state"], draft["total"], draft["number"]) == ("draft", "2.52", None)
        early = await client.post(f"/invoices/{draft['id']}/finalise")
        assert (early.status_code, early.json()["code"]) == (409, "conflict")
        yard.clock.advance(32 * 86_400)
        topped = await client.post("/credits", json={"kind": "top_up", "amount": "1.00"})
        assert topped.status_code == 201
        final = (await client.post(f"/invoices/{draft['id']}/finalise")).json()
        assert (final["number"], final["credit"], final["due"]) == ("INV-000001", "1.00", "1.52")
        [line] = final["lines"]
        assert (line["item"], line["quantity"], line["amount"]) == ("shop", "21", "2.10")
        pdf = await client.get(f"/invoices/{final['id']}/document")
        assert pdf.headers["content-type"] == "application/pdf"
        assert 'filename="INV-000001.pdf"' in pdf.headers["content-disposition"]
        assert pdf.content.startswith(b"%PDF-")
        table = await client.get(f"/invoices/{final['id']}/document?format=csv")
        assert "INV-000001,shop,row,21,0.1," in table.text
        paid = (await client.post(f"/invoices/{final['id']}/pay")).json()
        assert paid["state"] == "paid"
        note = {"kind": "credit_note", "amount": "0.52", "invoice": final["id"], "note": "sorry"}
        assert (await client.post("/credits", json=note)).json()["number"] == "CN-000001"
        assert (await client.get("/credits")).json()["balance"] == "0.52"
        listed = (await client.get("/invoices")).json()["items"]
        assert [each["state"] for each in listed] == ["paid"]


async def test_an_invoice_is_the_operators_to_issue_and_the_tenants_to_read(yard: Yard) -> None:
    yard.services.billing.set_price(
        yard.tenant, NewPrice("shop", (Rate.flat(Unit.ROW, Decimal(1)),))
    )
    yard.clock.advance(1)
    _use(yard, requests=1, rows=1)
    invoice = yard.services.invoicing.draft(yard.tenant)
    path = f"/invoices/{invoice.id}"
    async with yard.client() as client:
        assert (await client.get(path)).status_code == 200
        for refused in ("/invoices", f"{path}/finalise", f"{path}/pay", "/credits"):
            assert (await client.post(refused, json={})).status_code == 403
        party = {"party": {"name": "x"}}
        assert (await client.put("/billing-profile", json=party)).status_code == 403
    async with yard.client(other=True) as client:
        assert (await client.get(path)).status_code == 404
        assert (await client.get(f"{path}/document")).status_code == 404
        assert (await client.get("/invoices")).json()["items"] == []


async def test_a_statement_is_of_what_others_used(yard: Yard) -> None:
    at = int(yard.clock.now().timestamp() * 1_000_000)
    price = NewPrice("shop", (Rate.flat(Unit.REQUEST, Decimal("0.5")),))
    yard.services.billing.set_price(yard.tenant, price)
    event = PredictionMade(
        "req_1", at, yard.other, "key_1", "shop", "m", 1, 200, 1, 1, 1, 1, owner_id=yard.tenant
    )
    with yard.store.begin() as tx:
        tx.ledger().append("jrn_1", 1, [event])
    async with yard.client() as client:
        statement = (await client.get("/statements?month=2026-01")).json()
        served = (await client.get("/usage?side=served&by=tenant,deployment")).json()["items"]
        assert (await client.get("/statements?month=January")).status_code == 400
    assert (statement["total"], statement["lines"][0]["customer_id"]) == ("0.50", yard.other)
    assert served[0]["groups"] == {"tenant": yard.other, "deployment": "shop"}
    assert served[0]["group"] == f"{yard.other}, shop"


async def test_a_price_in_tiers(yard: Yard) -> None:
    tiers = [{"amount": "0.01", "up_to": 1000}, {"amount": "0.005"}]
    rate = {"unit": "request", "tiers": tiers, "free": 100}
    body = {"deployment": "shop", "rates": [rate], "minimum": "5", "customer": yard.other}
    async with yard.client() as client:
        made = (await client.post("/prices", json=body)).json()
        listed = (await client.get("/prices")).json()["items"]
        both = await client.post("/prices", json={**body, "unit": "row", "amount": "1"})
        past = await client.post("/prices", json={**body, "effective_from": "2020-01-01T00:00:00Z"})
        wrong = {**rate, "tiers": tiers[:1]}
        bad = await client.post("/prices", json={"deployment": "shop", "rates": [wrong]})
    assert listed == [made]
    assert made["rates"] == [
        {**rate, "scheme": "graduated", "tiers": [tiers[0], {"amount": "0.005", "up_to": None}]}
    ]
    assert (made["price"], made["minimum"]) == ({"amount": "0.01", "currency": "USD"}, "5")
    assert [each.status_code for each in (both, past, bad)] == [400, 400, 400]
    assert "from now on" in past.json()["detail"]


async def test_usage_is_exported_entry_by_entry(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    yard.clock.advance(60)
    _use(yard, requests=5, rows=7)
    yard.clock.advance(1)
    async with yard.client() as client:
        table = await client.get("/usage/export")
        events = await client.get("/usage/export?format=cloudevents")
        none = await client.get("/usage/export?format=cloudevents&until=2026-01-01T00:00:30Z")
        parquet = await client.get("/usage/export?format=parquet")
        wrong = await client.get("/usage/export?since=2026-03-01&until=2026-02-01")
    async with yard.client(other=True) as client:
        theirs = await client.get("/usage/export?format=cloudevents")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    ids = [f"req_{number}" for number in range(5)]
    assert [row["request_id"] for row in rows] == ids
    assert {(row["rows"], row["status"], row["charged"]) for row in rows} == {("7", "200", "all")}
    assert events.headers["content-type"] == "application/cloudevents-batch+json"
    assert [event["id"] for event in events.json()] == ids
    first = events.json()[0]
    assert (first["specversion"], first["subject"]) == ("1.0", yard.tenant)
    assert (first["time"], first["data"]["rows"]) == ("2026-01-01T00:01:00+00:00", 7)
    assert (none.json(), theirs.json()) == ([], [])
    read = pyarrow.parquet.read_table(io.BytesIO(parquet.content))
    assert read.column("request_id").to_pylist() == ids
    assert read.column("rows").to_pylist() == [7] * 5
    assert (wrong.status_code, wrong.json()["detail"]) == (400, "since must be before until")


async def test_the_usage_of_all_tenants_is_the_operators_to_see(yard: Yard) -> None:
    yard.clock.advance(1)
    _use(yard, requests=2, rows=1)
    paths = ("/usage?side=all&by=tenant", "/usage/export?side=all")
    async with yard.client(other=True) as client:
        assert [(await client.get(path)).status_code for path in paths] == [403, 403]
    async with yard.client(Scope.ADMIN, other=True) as client:
        items = (await client.get(paths[0])).json()["items"]
    assert [(item["group"], item["requests"]) for item in items] == [(yard.tenant, 2)]
