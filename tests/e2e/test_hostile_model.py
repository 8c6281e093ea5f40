"""A custom model that means harm on a whole server: it fails at everything, and its neighbour,
under load all the while, sees no error.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.core.sandboxing import SandboxLevel
from modelyard_client import Client, ServingOptions
from tests.e2e import graphs, hostile_model
from tests.e2e.calls import Answer, Caller
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import replicas, wait_until
from tests.integration.engine.sandbox import hostile

pytestmark = pytest.mark.timeout(180)

MODEL, NEIGHBOUR = "hostile", "neighbour"
MEMORY = 512 << 20


class Neighbour:
    """One client that never stops asking, and keeps count of what it hears."""

    def __init__(self, server: Server) -> None:
        self.came: Counter[str] = Counter()
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> Counter[str]:
        self._stop.set()
        self._thread.join()
        return self.came

    def _run(self) -> None:
        number = 0.0
        with Caller(self._server.url, self._server.admin_key) as call:
            while not self._stop.is_set():
                number += 1
                try:
                    answer = call.infer(NEIGHBOUR, x=[[number, 2]])
                except (OSError, HTTPException) as error:
                    self.came[repr(error)] += 1
                    continue
                right = (
                    answer.status == 200 and answer.json()["outputs"][0]["data"][0] == number * 3
                )
                self.came["right" if right else f"{answer.status} {answer.body!r}"] += 1
                self._stop.wait(0.005)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if detect().level is SandboxLevel.NONE:
        pytest.skip("no sandbox here")
    home = tmp_path_factory.mktemp("hostile") / "home"
    # Both models in processes of their own: the neighbour has the same parent.
    started = start_server(home, "--workers", "1", MODELYARD_INLINE_MEMORY_BYTES="0")
    try:
        yield started
        assert stop_server(started.process) == 0
    finally:
        kill_server(started.process)


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("models")
    code = folder / "code"
    code.mkdir()
    shutil.copy(hostile_model.__file__, code / "model.py")
    shutil.copy(hostile.__file__, code / "hostile.py")
    with Client(server.url, server.admin_key) as made:
        made.models.import_model(NEIGHBOUR, graphs.scaled(folder / "m.onnx", 3))
        made.deployments.put(NEIGHBOUR, f"{NEIGHBOUR}:1")
        made.deployments.wait_ready(NEIGHBOUR)
        version = made.models.import_model(MODEL, code)
        assert str(version.state) == "ready", version
        yield made


@pytest.fixture(scope="module")
def target(server: Server, client: Client) -> dict[str, Any]:
    blob = next(path for path in (server.home / "blobs").rglob("*") if path.is_file())
    sockets = [str(path) for path in server.home.rglob("*") if path.is_socket()]
    assert sockets, "the runtime host listens on one"
    return {
        "home": str(server.home),
        "secret": str(server.home / "secrets" / "pepper"),
        "other_model": str(blob),
        "address": 0x1000,
        "tcp": urlsplit(server.url).port,
        "udp": 9,
        "unix": sockets[0],
        "unix_datagram": sockets[0],
        "abstract": "nobody",
        "file_bytes": 2 << 30,
    }


@pytest.fixture(autouse=True)
def neighbour(server: Server, client: Client) -> Iterator[None]:
    asking = Neighbour(server)
    try:
        yield
    finally:
        came = asking.stop()
    assert set(came) == {"right"}, came


@pytest.fixture
def deployed(client: Client) -> Iterator[str]:
    name = f"{MODEL}-{os.urandom(4).hex()}"
    client.deployments.put(name, f"{MODEL}:1", ServingOptions(memory_bytes=MEMORY))
    client.deployments.wait_ready(name)
    yield name
    client.deployments.delete(name)


def attempt(server: Server, deployment: str, name: str, target: dict[str, Any]) -> Answer:
    body = {
        "inputs": [
            {
                "name": "attempt",
                "datatype": "BYTES",
                "shape": [1],
                "data": [json.dumps({"name": name, "target": target})],
            }
        ]
    }
    with Caller(server.url, server.admin_key, timeout=60) as call:
        return call("POST", f"/v2/models/{deployment}/infer", body)


def log_of(server: Server) -> str:
    return server.home.with_name(f"{server.home.name}.log").read_text(errors="replace")


def test_whatever_it_tries_fails_and_it_says_how(
    server: Server, deployed: str, target: dict[str, Any]
) -> None:
    before = Path(target["secret"]).read_bytes()
    came = {}
    # What the replica has been given to read; the folder that it works on is its own copy.
    given = (server.home / "replicas").rglob("*")
    model = next(path for path in given if path.is_file() and path.parent.name == "model")
    for one in hostile.SHORT:
        if one is hostile.take_memory:
            continue  # it is killed for that before the kernel refuses it
        answer = attempt(server, deployed, one.__name__, target | {"own_model": str(model)})
        assert answer.status == 200, (one.__name__, answer)
        came[one.__name__] = answer.json()["outputs"][0]["data"][0]
    assert [name for name, what in came.items() if what in {"succeeded", "not an attempt"}] == []
    assert len(came) >= 60
    assert Path(target["secret"]).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fill_disk", "on disk"),
        ("take_memory", "of memory"),
        *([("other_machine", "SIGSYS")] if hostile.X86 else []),
    ],
)
def test_who_goes_too_far_is_gone_and_the_log_says_why(
    name: str, reason: str, server: Server, deployed: str, target: dict[str, Any]
) -> None:
    before = log_of(server).count(reason)
    answer = attempt(server, deployed, name, target)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    wait_until(lambda: log_of(server).count(reason) > before, 20, f"'{reason}' in the log")


@pytest.mark.parametrize("name", ["ignore_signals", "print_endlessly"])
def test_who_does_not_answer_is_ended(
    name: str, server: Server, client: Client, target: dict[str, Any]
) -> None:
    deployment = f"{MODEL}-{name.replace('_', '-')}"
    options = ServingOptions(memory_bytes=MEMORY, timeout_ms=500)
    client.deployments.put(deployment, f"{MODEL}:1", options)
    client.deployments.wait_ready(deployment)
    present = replicas(server.process.pid)
    answer = attempt(server, deployment, name, target)
    assert answer.status == 504
    # Whoever asks later is not to wait for it.
    wait_until(lambda: bool(present - replicas(server.process.pid)), 60, "it has ended")
    client.deployments.delete(deployment)


@pytest.mark.parametrize("answer", sorted(hostile_model.ANSWERS))
def test_an_answer_that_does_not_fit_is_an_error_of_the_model(
    answer: str, server: Server, deployed: str
) -> None:
    with Caller(server.url, server.admin_key) as call:
        told = call.infer(deployed, attempt=[answer])
    assert told.status in {500, 502}, told
    assert b"Traceback" not in told.body
