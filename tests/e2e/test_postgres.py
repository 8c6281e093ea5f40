"""The whole way on PostgreSQL, and what goes on when that does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from sqlalchemy.engine import make_url

from modelyard_client import Client
from modelyard_client.keys import NewKey
from tests.e2e.calls import Answer, Caller
from tests.e2e.conftest import Server, start_server, stop_server
from tests.e2e.processes import wait_until
from tests.postgres import Server as Postgres

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

AWAY_SECONDS = 16.0


class Deployed(NamedTuple):
    """A server on PostgreSQL that serves the deployment `rent`, and a key for it."""

    server: Server
    key: NewKey


@pytest.fixture(scope="module")
def deployed(
    postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("postgres")
    url = make_url(postgres_server.url)
    with psycopg.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        dbname=url.database,
        autocommit=True,
    ) as admin:
        admin.execute("CREATE DATABASE e2e")
    database = url.set(database="e2e").render_as_string(hide_password=False)
    server = start_server(folder / "home", MODELYARD_DATABASE_URL=database)
    try:
        with Client(server.url, server.admin_key) as client:
            yield Deployed(server, _main_road(client, folder))
    finally:
        assert stop_server(server.process) == 0
    assert not (server.home / "modelyard.db").exists()
    assert str(url.password) not in (folder / "home.log").read_text()


def _main_road(client: Client, folder: Path) -> NewKey:
    """Data, training, deployment, price, key."""
    rows = "".join(f"{size},{'north' if size % 3 else 'south'},{10 * size}\n" for size in range(90))
    (folder / "flats.csv").write_text(f"size,district,rent\n{rows}")
    client.datasets.add("flats", folder / "flats.csv")
    options = {"algorithm": "ridge", "folds": 2, "alias": "champion"}
    job = client.jobs.submit_train("rent", dataset="flats", target="rent", **options)
    assert client.jobs.wait(job.id, 100).state == "succeeded"
    client.deployments.put("rent", "rent@champion")
    client.deployments.wait_ready("rent")
    client.prices.set("rent", "request", "0.5")
    return client.keys.create("consumer")


def test_a_call_is_answered_metered_and_priced(deployed: Deployed) -> None:
    server, key = deployed
    with Client(server.url, key.key) as consumer:
        (predicted,) = consumer.predict("rent", [{"size": 50, "district": "north"}])
    assert predicted == pytest.approx(500, rel=0.1)
    before = _metered(deployed)
    assert before >= 1
    with Client(server.url, server.admin_key) as client:
        (line,) = [line for line in client.usage.report(by="key") if line.group == key.id]
        assert line.cost == line.requests * Decimal("0.5")


def test_a_database_that_does_not_answer(deployed: Deployed, postgres_server: Postgres) -> None:
    server, key = deployed
    served = _metered(deployed)
    managed: list[Answer] = []
    with Caller(server.url, key.key) as infer, Caller(server.url, server.admin_key) as manage:
        with postgres_server.paused():
            stopped = time.monotonic()
            while time.monotonic() < stopped + AWAY_SECONDS:
                began = time.monotonic()
                answer = infer("POST", "/v1/models/rent:predict", {"instances": [{"size": 50}]})
                assert answer.status == 200, answer
                assert time.monotonic() - began < 1
                served += 1
                if len(managed) < 1 and time.monotonic() > stopped + 0.5:
                    began = time.monotonic()
                    managed.append(manage("GET", "/api/v1/models"))
                    assert time.monotonic() - began < AWAY_SECONDS
            with Caller(server.url, "my_unknown") as stranger:
                assert stranger("GET", "/v2").status == 401
        assert [answer.status for answer in managed] == [503]
        assert int(managed[0].headers["retry-after"]) >= 1
        back = time.monotonic()
        wait_until(lambda: manage("GET", "/api/v1/models").status == 200, 5, "management is back")
        wait_until(lambda: _metered(deployed) >= served, 10, "usage is ingested")
        assert time.monotonic() - back < 15
    time.sleep(0.5)
    assert _metered(deployed) == served
    with Client(server.url, server.admin_key) as client:
        # Everything follows again: a new key is known, a revoked one refused.
        fresh = client.keys.create("fresh")
        with Caller(server.url, fresh.key) as call:
            assert call("GET", "/v2").status == 200
            client.keys.revoke(fresh.id)
            wait_until(lambda: call("GET", "/v2").status == 401, 1, "the key is revoked")


def _metered(deployed: Deployed) -> int:
    with Client(deployed.server.url, deployed.server.admin_key) as client:

        def requests() -> int:
            return sum(
                line.requests
                for line in client.usage.report(by="key")
                if line.group == deployed.key.id
            )

        # What was answered last is ingested within a second.
        found, again = requests(), -1
        while found != again:
            time.sleep(0.6)
            found, again = requests(), found
        return found
