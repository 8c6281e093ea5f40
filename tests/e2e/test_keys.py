"""Keys over a real server: in force, revoked and expired, on every gateway."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from modelyard_client import Client
from tests.e2e import graphs, processes
from tests.e2e.calls import Caller, serve
from tests.e2e.conftest import Server, start_server, stop_server

GATEWAYS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keys")
    started = start_server(folder / "home", "--workers", str(GATEWAYS))
    try:
        with Client(started.url, started.admin_key) as client:
            serve(client, "numbers", graphs.scaled(folder / "scaled.onnx", 2))
        yield started
    finally:
        assert stop_server(started.process) == 0


class Hammer:
    """Calls one gateway again and again over one connection, and notes the moments."""

    def __init__(self, call: Caller) -> None:
        self.call = call
        self.served_at: list[float] = []
        self.refused_at: list[float] = []
        self.other: list[int] = []
        self._thread = threading.Thread(target=self._run)
        self._stop = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            sent = time.monotonic()
            status = self.call.infer("numbers", x=[[1, 2]]).status
            if status == 200:
                self.served_at.append(sent)
            elif status == 401:
                self.refused_at.append(time.monotonic())
            else:
                self.other.append(status)
            time.sleep(0.005)


@pytest.fixture
def hammers(server: Server, client: Client) -> Iterator[tuple[str, list[Hammer]]]:
    """One for each gateway, all with one new key, whose id comes first."""
    key = client.keys.create("hammered")
    gateways = {p.pid for p in processes.of_kind(server.process.pid, "gateway")}
    assert len(gateways) == GATEWAYS
    by_gateway: dict[int, Hammer] = {}
    spare = []
    for _ in range(200):
        call = Caller(server.url, key.key)
        assert call("GET", "/v2").status == 200
        pid = _who_serves(gateways, call.local_port)
        if pid in by_gateway:
            spare.append(call)
        else:
            by_gateway[pid] = Hammer(call)
        if len(by_gateway) == GATEWAYS:
            break
    assert by_gateway.keys() == gateways
    yield key.id, list(by_gateway.values())
    for call in [*spare, *(hammer.call for hammer in by_gateway.values())]:
        call.close()


def _who_serves(gateways: set[int], port: int) -> int:
    for pid in gateways:
        for each in psutil.Process(pid).net_connections("tcp"):
            if each.raddr and each.raddr.port == port:
                return pid
    raise AssertionError(f"no gateway holds the connection from port {port}")


def test_a_revoked_key_is_refused_within_a_second_on_every_gateway(
    client: Client, hammers: tuple[str, list[Hammer]]
) -> None:
    key_id, each = hammers
    for hammer in each:
        hammer.start()
    try:
        time.sleep(0.3)
        client.keys.revoke(key_id)
        revoked = time.monotonic()
        time.sleep(1.5)
    finally:
        for hammer in each:
            hammer.stop()
    for hammer in each:
        assert hammer.other == []
        assert min(hammer.served_at) < revoked
        assert max(hammer.served_at) < revoked + 1.0
        assert hammer.refused_at


def test_a_key_ends_when_it_expires(server: Server, client: Client) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=5)
    key = client.keys.create("short", expires_at=ends)
    with Caller(server.url, key.key) as call:
        statuses = []
        while datetime.now(UTC) < ends + timedelta(seconds=0.3):
            asked = datetime.now(UTC)
            status = call.infer("numbers", x=[[1, 2]]).status
            statuses.append(status)
            if asked >= ends:
                assert status == 401
            elif datetime.now(UTC) < ends:
                assert status == 200
            time.sleep(0.02)
    assert {200, 401} == set(statuses)


def test_keys_survive_a_restart_of_every_gateway(server: Server, client: Client) -> None:
    """A gateway that starts knows no keys: it must not refuse the good ones meanwhile."""
    key = client.keys.create("lasting")
    with Caller(server.url, key.key) as call:
        for process in processes.of_kind(server.process.pid, "gateway"):
            process.kill()
        statuses = set()
        end = time.monotonic() + 30
        while 200 not in statuses and time.monotonic() < end:
            try:
                statuses.add(call.infer("numbers", x=[[1, 2]]).status)
            except OSError:
                time.sleep(0.02)
    assert statuses <= {200, 503}
    assert 200 in statuses


def test_a_key_calls_what_it_is_bound_to_from_where_it_is_bound_to(
    server: Server, client: Client
) -> None:
    made = {
        "here": client.keys.create("here", deployments=["numbers"], networks=["127.0.0.0/8"]),
        "elsewhere": client.keys.create("elsewhere", networks=["192.0.2.0/24"], settle=0),
        "other": client.keys.create("other", deployments=["other"]),
    }
    calls = {name: Caller(server.url, key.key) for name, key in made.items()}
    assert calls["here"].infer("numbers", x=[[1, 2]]).status == 200
    assert calls["here"].infer("other", x=[[1, 2]]).status == 403
    assert calls["here"]("GET", "/v1/models").json()["models"] == ["numbers"]
    assert calls["other"].infer("numbers", x=[[1, 2]]).status == 403
    assert calls["other"]("GET", "/v1/models").json()["models"] == []
    refused = calls["elsewhere"].infer("numbers", x=[[1, 2]])
    assert (refused.status, b"from this address" in refused.body) == (403, True)
    # No proxy is trusted here, so nobody believes this.
    pretended = {"x-forwarded-for": "192.0.2.1"}
    for path in ("/v2", "/api/v1/keys", "/docs"):
        assert calls["elsewhere"]("GET", path, headers=pretended).status == 403
    for call in calls.values():
        call.close()


def test_a_rotated_key_has_two_secrets_on_every_gateway(
    client: Client, hammers: tuple[str, list[Hammer]]
) -> None:
    key_id, each = hammers
    rotated = client.keys.rotate(key_id, timedelta(seconds=2), settle=0)
    assert rotated.id == key_id
    ends = time.monotonic() + 2
    for hammer in each:
        hammer.start()
    time.sleep(3.5)
    for hammer in each:
        hammer.stop()
        assert hammer.other == []
        assert max(hammer.served_at) < ends + 1.0
        assert hammer.refused_at
    with Caller(client.url, rotated.key) as call:
        assert call.infer("numbers", x=[[1, 2]]).status == 200
