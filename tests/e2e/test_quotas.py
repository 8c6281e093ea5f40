"""Limits and budgets over a real server of two gateways: nothing is overdrawn."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from modelyard_client import Client, ClientError
from modelyard_client.billing import UsageLine
from modelyard_client.keys import NewKey
from tests.e2e import graphs
from tests.e2e.calls import Answer, Caller, serve
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import of_kind, wait_until

GATEWAYS = 2
PARALLEL = 200
LONG = 1_000_000
"""Turns of a loop that does not end while the test lasts."""


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
            serve(client, "turns", graphs.slow(folder / "slow.onnx"))
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


def rush(url: str, key: str) -> list[Answer]:
    """As many requests as `PARALLEL`, each on a connection of its own, let go at once."""
    callers = [Caller(url, key) for _ in range(PARALLEL)]
    answers: list[Answer] = []
    together = threading.Barrier(PARALLEL)

    def ask(caller: Caller) -> None:
        # Connected beforehand, so that both gateways have their share.
        assert caller("GET", "/v2").status == 200
        together.wait(60)
        answers.append(caller.infer("numbers", x=[[1.0, 2.0]]))

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


def test_a_soft_budget_is_overdrawn_by_no_more_than_what_is_under_way(
    server: Server, client: Client, key: NewKey
) -> None:
    quota = client.quotas.set("requests", "day", 10, key_id=key.id, strict=False, alert_at=50)
    at_once, answers = 8, list[int]()
    together = threading.Barrier(at_once)

    def ask() -> None:
        with Caller(server.url, key.key) as call:
            assert call("GET", "/v2").status == 200
            together.wait(60)
            for _ in range(PARALLEL // at_once):
                answers.append(call.infer("turns", turns=[1]).status)

    threads = [threading.Thread(target=ask) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    told = Counter(answers)
    # The last one to begin found one left, and at most so many were under way beside it.
    assert 10 <= told[200] <= 10 - 1 + at_once
    assert told == {200: told[200], 402: PARALLEL - told[200]}
    assert client.quotas.get(quota.id).used == told[200]
    wait_until(lambda: _counted(client, key) == PARALLEL, 10, "usage is in the ledger")
    assert [line.requests for line in _lines(client, key)] == [told[200]]
    wait_until(lambda: _alert(server, quota.id) == 2, 15, "the metrics tell of it")
    kinds = [alert.kind for alert in client.quotas.alerts() if alert.quota_id == quota.id]
    assert kinds[0] == "spent"
    log = (server.home.parent / "home.log").read_text().splitlines()
    logged = [line for line in log if quota.id in line and "a budget is" in line]
    assert len(logged) == len(kinds)


def _alert(server: Server, quota_id: str) -> int | None:
    with Caller(server.url, server.admin_key) as call:
        text = call("GET", "/metrics").body.decode()
    for line in text.splitlines():
        if line.startswith("modelyard_budget_alert{") and quota_id in line:
            return int(line.rpartition(" ")[2])
    return None


def _lines(client: Client, key: NewKey) -> list[UsageLine]:
    return [line for line in client.usage.report("key") if line.group == key.id]


def _counted(client: Client, key: NewKey) -> int:
    return sum(line.requests + line.errors for line in _lines(client, key))


def test_what_a_killed_gateway_held_is_given_back(
    server: Server, client: Client, key: NewKey
) -> None:
    quota = client.quotas.set("rows", "day", 8, key_id=key.id)

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException), Caller(server.url, key.key) as call:
            call.infer("turns", turns=[LONG])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: client.quotas.get(quota.id).held == 8, 20, "all is held")
    with Caller(server.url, key.key) as call:
        assert call.infer("numbers", x=[[1.0, 2.0]]).status == 402
    gateways = of_kind(server.process.pid, "gateway")
    for gateway in gateways:
        gateway.kill()
    for thread in threads:
        thread.join(60)

    wait_until(lambda: _ready(server), 30, "gateways are back")
    wait_until(lambda: _held(client, quota.id) == 0, 20, "nothing is held")
    with Caller(server.url, key.key) as call:
        answers = [call.infer("numbers", x=[[1.0, 2.0]] * 4) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 402]


def test_a_tenant_far_over_its_limit_takes_nothing_from_another(
    server: Server, client: Client, key: NewKey
) -> None:
    client.tenants.create("noisy")
    with Client(server.url, server.admin_key, tenant="noisy") as noisy:
        serve(noisy, "numbers", server.home.parent / "scaled.onnx")
        noisy.quotas.set("requests", "minute", 20, settle=0)
        loud = noisy.keys.create("loud")
    stop = threading.Event()
    told: Counter[int] = Counter()

    def flood() -> None:
        with Caller(server.url, loud.key) as call:
            while not stop.is_set():
                told[call.infer("numbers", x=[[1.0, 2.0]]).status] += 1

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with Caller(server.url, key.key) as call:
            quiet = Counter(call.infer("numbers", x=[[1.0, 2.0]]).status for _ in range(100))
        wait_until(lambda: told.total() >= 200, 30, "ten times the limit was asked for")
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert quiet == {200: 100}
    # A minute is the least that the limit knows.
    assert set(told) == {200, 429}
    assert told[200] <= 40


def test_a_budget_outlives_the_server(tmp_path: Path) -> None:
    server = start_server(tmp_path / "home", "--workers", "1")
    try:
        with Client(server.url, server.admin_key) as client:
            serve(client, "numbers", graphs.scaled(tmp_path / "scaled.onnx", 2))
            key = client.keys.create("bounded", settle=0)
            quota = client.quotas.set("requests", "total", 10, key_id=key.id, alert_at=50)
            with Caller(server.url, key.key) as call:
                before = [call.infer("numbers", x=[[1.0, 2.0]]).status for _ in range(6)]
        assert before == [200] * 6
    finally:
        kill_server(server.process)
    server = start_server(tmp_path / "home", "--workers", "1")
    try:
        with Client(server.url, server.admin_key) as client, Caller(server.url, key.key) as call:
            wait_until(lambda: call.infer("numbers", x=[[1.0, 2.0]]).status != 503, 20, "it serves")
            after = [call.infer("numbers", x=[[1.0, 2.0]]).status for _ in range(6)]
            assert after == [200] * 3 + [402] * 3
            assert client.quotas.get(quota.id).used == 10
            wait_until(
                lambda: any(alert.kind == "spent" for alert in client.quotas.alerts()),
                10,
                "it is told that the budget is spent",
            )
    finally:
        assert stop_server(server.process) == 0


def _ready(server: Server) -> bool:
    with suppress(OSError, http.client.HTTPException), Caller(server.url, None) as call:
        return call("GET", "/readyz").status == 200
    return False


def _held(client: Client, quota_id: str) -> object:
    with suppress(ClientError):
        return client.quotas.get(quota_id).held
    return None
