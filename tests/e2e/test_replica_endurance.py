"""Replicas that are killed or come and go for long. How long is said by the environment."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import Caller
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import of_kind, wait_until

KILLS = int(os.environ.get("MODELYARD_TEST_KILLS", "4"))
CYCLES = int(os.environ.get("MODELYARD_TEST_CYCLES", "5"))
CLIENTS = 2
"""Of each deployment."""
FACTORS = {"one": 2.0, "two": 3.0, "three": 5.0}
MIB = 1 << 20

_log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Gateways that keep no model to themselves."""
    home = tmp_path_factory.mktemp("endurance") / "home"
    started = start_server(home, "--workers", "2", MODELYARD_INLINE_MEMORY_BYTES="0")
    try:
        yield started
        assert stop_server(started.process) == 0
        assert not any((home / "replicas").iterdir())
    finally:
        kill_server(started.process)


def replicas(server: Server) -> list[psutil.Process]:
    """The runtime host's children."""
    (host,) = of_kind(server.process.pid, "runtimes")
    children: list[psutil.Process] = host.children()
    return children


@pytest.fixture
def deployed(server: Server, tmp_path: Path) -> Iterator[None]:
    """The models of `FACTORS`, each with a replica."""
    with Client(server.url, server.admin_key) as client:
        for name, factor in FACTORS.items():
            client.models.import_model(name, graphs.scaled(tmp_path / f"{name}.onnx", factor))
            client.deployments.put(name, name)
            client.deployments.wait_ready(name)
        yield
        for name in FACTORS:
            client.deployments.delete(name)
        wait_until(lambda: not replicas(server), 20, "their replicas are gone")


class Clients:
    """Closed-loop clients of one deployment, with what they were told."""

    def __init__(self, server: Server, name: str, factor: float) -> None:
        self.statuses: Counter[int] = Counter()
        self.wrong: list[object] = []
        self._server, self._name, self._factor = server, name, factor
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(at,)) for at in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answers_on(self) -> None:
        """Wait until more is answered, or something went wrong."""
        before = self.statuses[200]
        wait_until(
            lambda: bool(self.wrong) or self.statuses[200] > before, 20, f"{self._name} answers"
        )
        assert self.wrong == []

    def _run(self, place: int) -> None:
        with Caller(self._server.url, self._server.admin_key) as call:
            # Never the same twice: what is there at two deaths is under suspicion.
            number = place / CLIENTS
            while not self._stop.is_set():
                number += 1
                try:
                    answer = call.infer(self._name, x=[[number, 0.0]])
                except (OSError, HTTPException) as error:
                    self.wrong.append(error)
                    return
                self.statuses[answer.status] += 1
                if answer.status == 200:
                    said, _ = answer.json()["outputs"][0]["data"]
                    if said != pytest.approx(number * self._factor, rel=1e-6):
                        self.wrong.append(answer)
                elif answer.status != 503 or int(answer.headers["retry-after"]) < 1:
                    self.wrong.append(answer)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("deployed")
def test_a_kill_every_second_costs_only_what_was_in_flight(server: Server) -> None:
    chance = random.Random(5)
    load = {name: Clients(server, name, factor) for name, factor in FACTORS.items()}
    for clients in load.values():
        clients.start()
    killed = 0
    for _ in range(KILLS):
        time.sleep(1)
        victims = replicas(server)
        if victims:
            killed += 1
            chance.choice(victims).send_signal(signal.SIGKILL)
    try:
        for clients in load.values():
            clients.answers_on()
    finally:
        for clients in load.values():
            clients.stop()
    _log.info("%s killed, answered %s", killed, {n: dict(c.statuses) for n, c in load.items()})
    assert killed >= KILLS // 2
    assert [clients.wrong for clients in load.values()] == [[], [], []]
    assert sum(clients.statuses[503] for clients in load.values()) <= killed * CLIENTS


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("deployed")
def test_a_killed_host_is_replaced_and_its_replicas_with_it(server: Server) -> None:
    clients = Clients(server, "one", FACTORS["one"])
    clients.start()
    try:
        for _ in range(2):
            clients.answers_on()
            orphans = replicas(server)
            (host,) = of_kind(server.process.pid, "runtimes")
            host.send_signal(signal.SIGKILL)
            wait_until(lambda: not any(map(alive, orphans)), 10, "its replicas have died")  # noqa: B023
            wait_until(lambda: bool(of_kind(server.process.pid, "runtimes")), 10, "a new host")
            clients.answers_on()
    finally:
        clients.stop()
    assert clients.wrong == []
    assert clients.statuses[503] <= 2 * CLIENTS


def alive(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody has taken note of yet does not."""
    return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE


class Footprint:
    """What the host and the gateways hold."""

    def __init__(self, server: Server) -> None:
        supervisor = server.process.pid
        self.processes = [*of_kind(supervisor, "runtimes"), *of_kind(supervisor, "gateway")]
        self.descriptors = [process.num_fds() for process in self.processes]
        self.threads = [process.num_threads() for process in self.processes]
        self.resident = [process.memory_info().rss for process in self.processes]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_deployments_that_come_and_go_leave_nothing(server: Server, tmp_path: Path) -> None:
    with (
        Client(server.url, server.admin_key) as client,
        Caller(server.url, server.admin_key) as call,
    ):
        client.models.import_model("passing", graphs.scaled(tmp_path / "m.onnx", 4))

        def cycle() -> None:
            client.deployments.put("passing", "passing")
            client.deployments.wait_ready("passing")
            assert call.infer("passing", x=[[1.0, 2.0]]).status == 200
            client.deployments.delete("passing")
            wait_until(lambda: not replicas(server), 20, "its replica is gone")

        for _ in range(3):
            cycle()
        before = Footprint(server)
        for _ in range(CYCLES):
            cycle()
        after = Footprint(server)
    for name in ("descriptors", "threads", "resident"):
        _log.info("%s before %s, after %s", name, getattr(before, name), getattr(after, name))
    # A connection or a pooled thread that is open at one moment and not at the other is no leak.
    for had, has in zip(before.descriptors, after.descriptors, strict=True):
        assert has <= had + 3
    for had, has in zip(before.threads, after.threads, strict=True):
        assert has <= had + 8
    for had, has in zip(before.resident, after.resident, strict=True):
        assert has <= had + 16 * MIB
