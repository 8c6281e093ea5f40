"""Limits and budgets over a real server of two gateways: nothing is overdrawn."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import psycopg
import pytest
from sqlalchemy.engine import make_url

from modelyard_client import Client
from modelyard_client.billing import UsageLine
from modelyard_client.keys import NewKey
from tests.e2e import graphs
from tests.e2e.calls import Answer, Caller, serve
from tests.e2e.conftest import Server, start_server, stop_server
from tests.e2e.processes import wait_until

GATEWAYS = 2
PARALLEL = 200


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(f"quotas-{request.param}")
    environ = {}
    if request.param == "postgres":
        environ["MODELYARD_DATABASE_URL"] = _database(
            request.getfixturevalue("postgres_server").url
        )
    started = start_server(folder / "home", "--workers", str(GATEWAYS), **environ)
    try:
        with Client(started.url, started.admin_key) as client:
            serve(client, "numbers", graphs.scaled(folder / "scaled.onnx", 2))
        yield started
    finally:
        assert stop_server(started.process) == 0


def _database(admin_url: str) -> str:
    url = make_url(admin_url)
    with psycopg.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        dbname=url.database,
        autocommit=True,
    ) as admin:
        admin.execute("CREATE DATABASE quotas")
    return url.set(database="quotas").render_as_string(hide_password=False)


@pytest.fixture
def key(client: Client) -> NewKey:
    return client.keys.create("bounded", settle=0)


def rush(url: str, key: str, rows: int = 1) -> list[Answer]:
    """As many requests as `PARALLEL`, each on a connection of its own, let go at once."""
    callers = [Caller(url, key) for _ in range(PARALLEL)]
    answers: list[Answer] = []
    together = threading.Barrier(PARALLEL)

    def ask(caller: Caller) -> None:
        # Connected beforehand, so that both gateways have their share.
        assert caller("GET", "/v2").status == 200
        together.wait(60)
        answers.append(caller.infer("numbers", x=[[1.0, 2.0]] * rows))

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    for caller in callers:
        caller.close()
    return answers


def statuses(answers: Sequence[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def test_a_budget_with_room_for_ten_lets_exactly_ten_of_200_through(
    server: Server, client: Client, key: NewKey
) -> None:
    quota = client.quotas.set("requests", "day", 10, key_id=key.id)
    assert statuses(rush(server.url, key.key)) == {200: 10, 402: PARALLEL - 10}

    used = client.quotas.get(quota.id)
    assert used.used == 10
    assert used.held == 0
    wait_until(lambda: _counted(client, key) == PARALLEL, 10, "usage is in the ledger")
    (line,) = _lines(client, key)
    assert (line.requests, line.errors) == (10, PARALLEL - 10)


def _lines(client: Client, key: NewKey) -> list[UsageLine]:
    return [line for line in client.usage.report("key") if line.group == key.id]


def _counted(client: Client, key: NewKey) -> int:
    return sum(line.requests + line.errors for line in _lines(client, key))
