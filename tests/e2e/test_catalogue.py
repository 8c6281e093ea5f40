"""One tenant publishes, another subscribes and calls under its own key and bill."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
    with pytest.raises(ApiError, match="terms") as refused:
        two.consumer.catalogue.subscribe("acme", "scaled", terms="")
    assert refused.value.status == 409
    assert two.calls.infer("doubled", x=[[1, 2]]).status == 404
    two.consumer.catalogue.subscribe("acme", "scaled", terms="Be kind.", name="doubled")
    answer = two.calls.infer("doubled", x=[[1, 2]])
    assert answer.status == 200
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0]
    assert answer.json()["model_name"] == "doubled"
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
    assert two.publisher.usage.report() == []


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
