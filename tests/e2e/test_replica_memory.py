"""Many more models than memory: all answer, and the memory that they hold stays in its bounds."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import Caller
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import of_kind

MIB = 1 << 20
MODELS = int(os.environ.get("MODELYARD_TEST_MODELS", "16"))
"""How many deployments; the issue's figure is 200."""
ROUNDS = int(os.environ.get("MODELYARD_TEST_ROUNDS", "1"))
BUDGET = 320 * MIB
"""Holds about ten replicas of a small graph."""
FACTORS = (2, 3, 5, 7)
CLIENTS = 4

_log = logging.getLogger(__name__)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Gateways that keep no model to themselves, and a host with little memory."""
    started = start_server(
        tmp_path / "home",
        "--workers",
        "2",
        MODELYARD_INLINE_MEMORY_BYTES="0",
        MODELYARD_REPLICA_MEMORY_BYTES=str(BUDGET),
    )
    try:
        yield started
        assert stop_server(started.process) == 0
    finally:
        kill_server(started.process)


class Curve:
    """What the replicas hold together, twice a second."""

    def __init__(self, server: Server) -> None:
        self.bytes: list[int] = []
        self.replicas: list[int] = []
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Curve:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        (host,) = of_kind(self._server.process.pid, "runtimes")
        while not self._stop.wait(0.5):
            sizes = [_pss(replica.pid) for replica in host.children()]
            self.bytes.append(sum(sizes))
            self.replicas.append(len(sizes))


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def deploy(client: Client, folder: Path) -> dict[str, int]:
    """`MODELS` deployments, each with a replica of its own; their names and factors."""
    for factor in FACTORS:
        client.models.import_model(f"times-{factor}", graphs.scaled(folder / "m.onnx", factor))
    names = {f"model-{n}": FACTORS[n % len(FACTORS)] for n in range(MODELS)}
    for name, factor in names.items():
        client.deployments.put(name, f"times-{factor}")
    for name in names:
        client.deployments.wait_ready(name, 120)
    return names


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_models_that_do_not_fit_into_memory_take_turns(server: Server, tmp_path: Path) -> None:
    with Client(server.url, server.admin_key) as client, Curve(server) as curve:
        names = deploy(client, tmp_path)
        turns = [turn for _ in range(ROUNDS) for turn in names.items()]
        random.Random(7).shuffle(turns)
        wrong: list[object] = []
        seconds: list[float] = []

        def work(share: list[tuple[str, int]]) -> None:
            with Caller(server.url, server.admin_key) as call:
                for name, factor in share:
                    began = time.perf_counter()
                    answer = call.infer(name, x=[[1.0, 2.0]])
                    seconds.append(time.perf_counter() - began)
                    if answer.status != 200 or answer.json()["outputs"][0]["data"] != [
                        factor,
                        2 * factor,
                    ]:
                        wrong.append((name, answer))

        threads = [
            threading.Thread(target=work, args=(turns[at::CLIENTS],)) for at in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _log.info("replicas %s", curve.replicas)
    _log.info("MiB %s", [size // MIB for size in curve.bytes])
    seconds.sort()
    _log.info("median %.2f s, most %.2f s", seconds[len(seconds) // 2], seconds[-1])
    assert wrong == []
    assert len(seconds) == len(turns)
    with Caller(server.url, server.admin_key) as call:
        seen = call("GET", "/metrics").body.decode()
    assert 'cause="memory"' in seen
    assert f"modelyard_replica_memory_budget_bytes{{}} {BUDGET}" in seen
    assert max(curve.replicas) >= 5
    assert max(curve.bytes) <= BUDGET
