"""One tenant publishes, another subscribes and calls under its own key and bill."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from modelyard_client import ApiError, Client
from tests.e2e import graphs
from tests.e2e.calls import Caller, serve
from tests.e2e.conftest import Server, start_server, stop_server


class Two(NamedTuple):
    """A publisher that serves `scaled` (twice what it is given), and a consumer."""

    server: Server
    publisher: Client
    consumer: Client
    calls: Caller


def tenant(operator: Client, server: Server, name: str) -> Client:
    operator.tenants.create(name)
    with Client(server.url, server.admin_key, tenant=name) as inside:
        return Client(server.url, inside.keys.create("first", "manage").key)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("catalogue")
    server = start_server(folder / "home", "--workers", "2")
    try:
        with Client(server.url, server.admin_key) as operator:
            publisher = tenant(operator, server, "acme")
            consumer = tenant(operator, server, "globex")
        serve(publisher, "scaled", graphs.scaled(folder / "scaled.onnx", 2))
        for name in ("second", "private"):
            publisher.deployments.put(name, "scaled@live")
            publisher.deployments.wait_ready(name)
        key = consumer.keys.create("app").key
        with publisher, consumer, Caller(server.url, key) as calls:
            yield Two(server, publisher, consumer, calls)
    finally:
        assert stop_server(server.process) == 0


def test_what_is_published_is_found_taken_called_and_billed_to_who_calls(two: Two) -> None:
    two.publisher.catalogue.publish(
        "scaled", description="Doubles", terms="Be kind.", examples=[{"inputs": []}]
    )
    offers = {(o.publisher, o.deployment): o for o in two.consumer.catalogue.offers()}
    assert offers["acme", "scaled"].description == "Doubles"
    detail = two.consumer.catalogue.offer("acme", "scaled")
    assert (detail.terms, detail.examples) == ("Be kind.", [{"inputs": []}])
    assert [spec["name"] for spec in detail.inputs] == ["x"]
    assert detail.price is None
    rate = {"unit": "row", "tiers": [{"amount": "0.01", "up_to": 9}, {"amount": "0.005"}]}
    two.publisher.prices.set("scaled", rates=[rate | {"free": 2}])
    in_a_year = datetime.now(UTC) + timedelta(days=365)
    two.publisher.prices.set("scaled", "request", "1.5", effective_from=in_a_year)
    detail = two.consumer.catalogue.offer("acme", "scaled")
    assert detail.price is not None
    assert detail.price.terms == "USD per row: 0.01 to 9, then 0.005, 2 free"
    assert [tier.up_to for tier in detail.price.rates[0].tiers] == [9, None]
    assert [price.terms for price in detail.later_prices] == ["USD per request: 1.5"]
    with pytest.raises(ApiError, match="terms") as refused:
        two.consumer.catalogue.subscribe("acme", "scaled", terms="")
    assert refused.value.status == 409
    assert two.calls.infer("doubled", x=[[1, 2]]).status == 404
    two.consumer.catalogue.subscribe("acme", "scaled", terms="Be kind.", name="doubled")
    answer = two.calls.infer("doubled", x=[[1, 2]])
    assert answer.status == 200
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0]
    assert answer.json()["model_name"] == "doubled"
    for shown in detail.calls:
        path = shown.path.replace("/scaled", "/doubled")
        assert two.calls(shown.method, path, shown.body).status == 200, shown
    assert [shown.protocol for shown in detail.calls] == ["v2", "v1"]
    # Only under its own name, and only there.
    assert two.calls.infer("scaled", x=[[1, 2]]).status == 404
    assert two.calls("GET", "/v2/models/doubled").json()["name"] == "doubled"
    listed = two.calls("GET", "/v1/models").json()["models"]
    assert "doubled" in listed
    assert "scaled" not in listed
    assert "doubled" in [s.name for s in two.consumer.catalogue.subscriptions()]
    end = time.monotonic() + 20
    while not two.consumer.usage.report() and time.monotonic() < end:
        time.sleep(0.1)
    assert sum(line.requests for line in two.consumer.usage.report()) >= 1
    assert "scaled" not in {line.group for line in two.publisher.usage.report("deployment")}


def test_what_ends_is_out_of_force_within_a_second(two: Two) -> None:
    two.publisher.catalogue.publish("second", shared_with=["globex", "no-such-tenant"])
    two.consumer.catalogue.subscribe("acme", "second", name="ending")
    assert two.calls.infer("ending", x=[[1, 2]]).status == 200
    two.consumer.catalogue.unsubscribe("ending")
    time.sleep(1.0)
    assert two.calls.infer("ending", x=[[1, 2]]).status == 404
    two.consumer.catalogue.subscribe("acme", "second", name="ending")
    assert two.calls.infer("ending", x=[[1, 2]]).status == 200
    two.publisher.catalogue.publish("second", shared_with=["no-such-tenant"])
    time.sleep(1.0)
    assert two.calls.infer("ending", x=[[1, 2]]).status == 404
    assert "second" not in [offer.deployment for offer in two.consumer.catalogue.offers()]
    assert not next(s for s in two.consumer.catalogue.subscriptions() if s.name == "ending").offered
    two.publisher.catalogue.withdraw("second")
    with pytest.raises(ApiError, match="is not offered"):
        two.publisher.catalogue.withdraw("second")


def test_a_publisher_limits_who_calls_its_deployment(two: Two) -> None:
    two.publisher.deployments.put("limited", "scaled@live")
    two.publisher.deployments.wait_ready("limited")
    two.publisher.catalogue.publish("limited")
    two.consumer.catalogue.subscribe("acme", "limited", settle=0)
    limits = two.publisher.quotas
    limits.set("requests", "minute", 4, deployment="limited", each_caller=True, settle=0)
    together = limits.set("rows", "minute", 6, deployment="limited")
    # A connection each, so that both gateways have some of them.
    own = two.publisher.keys.create("own").key
    key = two.consumer.keys.create("limited").key
    asked = {key: [1, 1, 1, 2, 1], own: [2, 1]}
    told: dict[str, list[int]] = {}
    for caller, rows in asked.items():
        told[caller] = []
        for count in rows:
            with Caller(two.server.url, caller) as call:
                told[caller].append(call.infer("limited", x=[[1, 2]] * count).status)
    assert told == {key: [200, 200, 200, 200, 429], own: [429, 200]}
    assert two.publisher.quotas.get(together.id).used == 6
    with pytest.raises(ApiError, match="no quota"):
        two.consumer.quotas.remove(together.id)


def test_what_another_tenant_has_looks_as_if_it_were_not_there(two: Two) -> None:
    """Each route with an id in it: the publisher's ids and names, and some that nobody has."""
    key = two.publisher.keys.create("theirs", settle=0)
    two.publisher.members.put("ann@acme.example", "auditor")
    two.publisher.catalogue.publish("private", shared_with=["somebody-else"])
    number = two.publisher.models.get("scaled").latest
    theirs = {
        "key_id": key.id,
        "name": "private",
        "deployment": "private",
        "model": "scaled",
        "publisher": "acme",
        "number": str(number),
        "alias": "live",
    }
    bodies = {
        "/api/v1/models/{model}/aliases/{alias}": {"version": number},
        "/api/v1/keys/{key_id}/rotate": {"overlap_seconds": 0},
        "/api/v1/listings/{deployment}": {"public": True},
    }
    owner = two.consumer.keys.create("owner", "manage").key
    checked = 0
    with Caller(two.server.url, owner) as call:
        described = call("GET", "/openapi.json").json()["paths"]
        for path, item in described.items():
            names = re.findall(r"\{(\w+)\}", path)
            known = all(name in theirs for name in names)
            for method in item.keys() & {"get", "put", "post", "delete"}:
                # To put a thing of this name is to make one of one's own.
                makes = method == "put" and path.split("/")[3] in ("deployments", "members")
                if not names or not known or makes:
                    continue
                if path in ("/api/v1/tenants/{name}", "/api/v1/users/{name}"):
                    continue
                answers = []
                for given in (theirs, {**dict.fromkeys(theirs, "zzz"), "number": "1"}):
                    filled = path
                    for name in names:
                        value = given[name]
                        if path.startswith("/api/v1/members") and given is theirs:
                            value = "ann@acme.example"
                        filled = filled.replace("{" + name + "}", value)
                    body = bodies.get(path) if method in ("put", "post") else None
                    answer = call(method.upper(), filled, body)
                    detail = answer.json().get("detail", "")
                    for value in (*given.values(), "ann@acme.example"):
                        detail = detail.replace(f"'{value}", "'?").replace(f"/{value}'", "/?'")
                    answers.append((answer.status, detail))
                assert answers[0] == answers[1], (method, path)
                # Another's price or quota is set by deployment, which need not exist.
                if answers[0][0] != 403:
                    assert answers[0][0] in (400, 404), (method, path, answers)
                    checked += 1
    assert checked >= 20
    # Nothing of it has happened.
    assert two.publisher.deployments.get("private").name == "private"
    assert [m.name for m in two.publisher.members.list()] == ["ann@acme.example"]
    assert all(k.revoked_at is None for k in two.publisher.keys.list() if k.id == key.id)


def test_nobody_offers_or_sees_what_is_not_theirs(two: Two) -> None:
    for call in (
        lambda: two.consumer.catalogue.publish("private"),
        lambda: two.consumer.catalogue.withdraw("private"),
        lambda: two.consumer.catalogue.offer("acme", "private"),
        lambda: two.consumer.catalogue.subscribe("acme", "private", settle=0),
        lambda: two.publisher.catalogue.unsubscribe("doubled"),
    ):
        with pytest.raises(ApiError) as refused:
            call()
        assert refused.value.status == 404
