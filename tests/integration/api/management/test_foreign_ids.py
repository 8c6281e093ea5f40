"""Every route with an id in it, asked for another tenant's thing and for one that nobody has.

The two answers are the same, and so is the way to them: the same statements to the database, in the
same order. So their times tell nothing either, which no clock of a busy machine could show.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import pytest_asyncio
from sqlalchemy import event

from modelyard.billing.rate import Rate, Unit
from modelyard.billing.service import NewPrice
from modelyard.core.access import Role, Scope
from modelyard.core.events import PredictionMade

if TYPE_CHECKING:
    import httpx2

    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE = b"age,plan,left\n1,basic,no\n"
MADE_UP = "0" * 32
PERSON, NOBODY = "ann@acme.example", "bob@acme.example"

MAKES: Final = {
    ("PUT", "/deployments/{name}"),
    ("PUT", "/providers/{name}"),
    ("PUT", "/uploads/{digest}"),
    ("PATCH", "/uploads/{digest}"),
}
"""Who puts something of a name makes one of their own."""
TOLD: Final = {("PUT", "/members/{name}")}
"""People are of the whole installation: who adds one is told whether to invite them first."""
OF_ALL: Final = ("/tenants/{name}", "/users/{name}", "/users/{name}/invite")
"""What the operator asks for in whichever tenant: these are no tenant's."""


class Ids(NamedTuple):
    """What stands in the places of a path and a body."""

    by_name: Mapping[str, str]
    person: str

    def fill(self, path: str) -> str:
        names = dict(self.by_name)
        if path.startswith(("/members", "/users")):
            names["name"] = self.person
        if path.startswith("/tenants"):
            names["name"] = names["tenant"]
        if path.startswith("/subscriptions"):
            names["name"] = names["subscription"]
        return path.format(**names)

    def masked(self, text: str) -> str:
        # The longest first: one may be part of another.
        known = {*self.by_name.values(), self.person} - {self.by_name["number"]}
        for value in sorted(known, key=len, reverse=True):
            text = text.replace(value, "?")
        text = re.sub(r"\bmy_[\w-]+", "my_", text)
        return re.sub(r"\b([a-z]{3})_[0-9a-f]{32}\b", r"\1_", text)


class Case(NamedTuple):
    method: str
    path: str
    body: Any = None


async def make_everything(yard: Yard) -> Ids:
    """One of each thing in the first tenant."""
    services, tenant = yard.services, yard.tenant
    yard.version("churn")
    yard.dataset("rows")
    services.registry.set_alias(tenant, "churn", "champion", 1)
    key, _ = services.tenancy.create_key(tenant, "theirs", Scope.INFER)
    price = NewPrice("shop", (Rate.flat(Unit.ROW, Decimal(1)),))
    services.billing.set_price(tenant, price)
    yard.clock.advance(1)
    at = int(yard.clock.now().timestamp() * 1_000_000)
    used = PredictionMade("req_1", at, tenant, key.id, "shop", "churn", 1, 200, 1, 1, 1, 1)
    with yard.store.begin() as tx:
        tx.ledger().append("jrn_1", 100, [used])
    invoice = services.invoicing.draft(tenant)
    digest = hashlib.sha256(FILE).hexdigest()
    async with yard.client(Scope.ADMIN) as operator:
        await operator.post("/users", json={"name": PERSON})
        third = (await operator.post("/tenants", json={"name": "third"})).json()["id"]
        yard.version(tenant=third)
        inside = {"X-Modelyard-Tenant": "third"}
        await operator.put("/deployments/churn", json={"model": "churn:1"}, headers=inside)
        await operator.put("/listings/churn", json={"public": True}, headers=inside)
    async with yard.client() as owner:

        async def made(method: str, path: str, body: Any) -> Any:
            answer = await owner.request(method, path, json=body)
            assert answer.is_success, (path, answer.text)
            return answer.json()

        await made("PUT", "/deployments/shop", {"model": "churn@champion"})
        quota = await made("PUT", "/quotas", QUOTA | {"deployment": "shop"})
        spec = {"model": "churn", "dataset": "rows", "target": "left"}
        job = await made("POST", "/jobs", {"kind": "train", "spec": spec})
        await made("PUT", "/providers/shop", PROVIDER)
        await made("PUT", f"/members/{PERSON}", {"role": Role.AUDITOR.value})
        await made("PUT", "/listings/shop", {"shared_with": ["nobody-here"]})
        taken = {"publisher": "third", "deployment": "churn", "name": "taken"}
        await made("POST", "/subscriptions", taken)
        uploaded = await owner.put(f"/uploads/{digest}", content=FILE)
        assert uploaded.is_success
    return Ids(
        {
            "key_id": key.id,
            "quota_id": quota["id"],
            "job_id": job["id"],
            "invoice_id": invoice.id,
            "digest": digest,
            "dataset": "rows",
            "model": "churn",
            "alias": "champion",
            "plot": "roc",
            "number": "1",
            "deployment": "shop",
            "name": "shop",
            "publisher": "default",
            "tenant": "default",
            "subscription": "taken",
        },
        PERSON,
    )


QUOTA: Final = {"measure": "requests", "period": "minute", "amount": "5"}
PROVIDER: Final = {"base_url": "https://api.example.com/v1", "api_key": "sk-canary"}


def nobodys(number: int) -> Ids:
    made_up = f"{number:032x}"
    return Ids(
        {
            "key_id": f"key_{made_up}",
            "quota_id": f"quo_{made_up}",
            "job_id": f"job_{made_up}",
            "invoice_id": f"inv_{made_up}",
            "digest": hashlib.sha256(made_up.encode()).hexdigest(),
            "dataset": f"rows-{number}",
            "model": f"churn-{number}",
            "alias": f"champion-{number}",
            "plot": f"roc-{number}",
            "number": "1",
            "deployment": f"shop-{number}",
            "name": f"shop-{number}",
            "publisher": f"default-{number}",
            "tenant": f"default-{number}",
            "subscription": f"taken-{number}",
        },
        f"{number}{NOBODY}",
    )


def body_of(case: Case, ids: Ids) -> Any:
    """The body of a request, with ids in it where the route takes any."""
    names = ids.by_name
    return {
        ("POST", "/models/{model}/versions"): {"upload": names["digest"], "filename": "m.onnx"},
        ("PUT", "/models/{model}/aliases/{alias}"): {"version": 1},
        ("PUT", "/models/{model}/intended-use"): {"text": "orders"},
        ("PUT", "/deployments/{name}"): {"model": f"{names['model']}:1"},
        ("PUT", "/providers/{name}"): PROVIDER,
        ("PUT", "/members/{name}"): {"role": "auditor"},
        ("PUT", "/listings/{deployment}"): {"public": True},
        ("POST", "/keys/{key_id}/rotate"): {"overlap_seconds": 0},
        ("POST", "/invoices/{invoice_id}/void"): {"reason": "wrong"},
        ("POST", "/jobs"): {
            "kind": "train",
            "spec": {"model": "mine", "dataset": names["dataset"], "target": "left"},
        },
        ("POST", "/datasets"): {"name": "mine", "upload": names["digest"], "filename": "a.csv"},
        ("POST", "/keys"): {"name": "x", "scope": "infer", "deployments": [names["deployment"]]},
        ("POST", "/subscriptions"): {
            "publisher": names["publisher"],
            "deployment": names["deployment"],
        },
        ("PUT", "/quotas"): QUOTA | {"key_id": names["key_id"]},
        ("POST", "/credits"): {
            "kind": "credit_note",
            "amount": "1",
            "invoice": names["invoice_id"],
        },
        ("POST", "/prices"): {
            "deployment": names["deployment"],
            "unit": "row",
            "amount": "1",
            "customer": names["key_id"],
        },
    }.get((case.method, case.path))


BODIES: Final = [
    Case("POST", "/jobs"),
    Case("POST", "/datasets"),
    Case("POST", "/keys"),
    Case("POST", "/subscriptions"),
    Case("PUT", "/quotas"),
    Case("POST", "/credits"),
    Case("POST", "/prices"),
]
"""Routes that take ids in their bodies alone."""


async def cases(yard: Yard) -> list[Case]:
    """All routes of the API's own description that have an id in their path or body."""
    async with yard.client(Scope.ADMIN) as client:
        paths = (await client.get("http://yard/openapi.json")).json()["paths"]
    methods = ("get", "head", "put", "post", "patch", "delete")
    found = [
        Case(method.upper(), path.removeprefix("/api/v1"))
        for path, item in paths.items()
        for method in methods
        if method in item and "{" in path
    ]
    assert len(found) >= 38
    # What makes things of one's own comes last: then these are there.
    return sorted(found, key=lambda case: (case.method, case.path) in MAKES | TOLD) + BODIES


@contextmanager
def statements(yard: Yard) -> Iterator[list[str]]:
    """What the database is asked meanwhile, without the values."""
    told: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        told.append(statement)

    event.listen(yard.store.engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        event.remove(yard.store.engine, "before_cursor_execute", note)


async def told(
    yard: Yard, client: httpx2.AsyncClient, case: Case, ids: Ids
) -> tuple[int, str, list[str]]:
    """How a request ends, and what the database was asked for it."""
    body = body_of(case, ids)
    content = {"content": b"x"} if "uploads" in case.path and case.method == "PUT" else {}
    with statements(yard) as asked:
        answer = await client.request(
            case.method, ids.fill(case.path), **({"json": body} if body is not None else content)
        )
    return answer.status_code, ids.masked(answer.text), asked


@pytest_asyncio.fixture
async def theirs(yard: Yard) -> AsyncIterator[Ids]:
    yield await make_everything(yard)


@pytest.mark.parametrize("scope", [Scope.MANAGE, Scope.ADMIN], ids=["owner", "operator"])
async def test_anothers_thing_is_answered_like_one_that_is_not_there(
    yard: Yard, theirs: Ids, scope: Scope
) -> None:
    wrong, statuses = [], {}
    # The operator acts in the other tenant here, as its owner does.
    inside = {"X-Modelyard-Tenant": "other"} if scope is Scope.ADMIN else {}
    async with yard.client() as owner, yard.client(scope, other=not inside) as stranger:
        stranger.headers.update(inside)
        all_cases = await cases(yard)
        shown = [
            theirs.fill(case.path)
            for case in all_cases
            if case.method == "GET" and not case.path.endswith("/events")
        ]
        before = [(await owner.get(path)).text for path in shown]
        for case in all_cases:
            if scope is Scope.ADMIN and case.path in OF_ALL:
                continue
            # What is asked for the first time may be looked up for good: not so the second.
            await told(yard, stranger, case, nobodys(1))
            known = await told(yard, stranger, case, theirs)
            unknown = await told(yard, stranger, case, nobodys(2))
            if known != unknown and (case.method, case.path) not in TOLD:
                wrong.append((case, known, unknown))
            statuses[case] = known[0]
        # And nothing of it has happened.
        assert [(await owner.get(path)).text for path in shown] == before
    assert wrong == [], "\n".join(map(str, wrong))
    for case, status in statuses.items():
        if (case.method, case.path) in MAKES | TOLD or case in BODIES:
            continue
        assert status in (403, 404), (case, status)
    refused = {case for case, status in statuses.items() if status == 403}
    assert all(case.path.startswith(("/users", "/invoices", "/credits")) for case in refused), (
        refused
    )
    assert not refused or scope is Scope.MANAGE
