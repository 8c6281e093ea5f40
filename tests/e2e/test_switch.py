"""Another version under load: no request fails, and a broken one changes nothing."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from modelyard_client import Client
from modelyard_client.deployments import DeploymentFailed
from tests.e2e import graphs
from tests.e2e.calls import Caller, serve
from tests.e2e.conftest import Server
from tests.e2e.processes import wait_until

THREADS = 3


class Load:
    """Closed-loop clients; each counts the factors by which it was answered."""

    def __init__(self, server: Server, key: str) -> None:
        self.answers: Counter[float] = Counter()
        self.failures: list[object] = []
        self._server, self._key = server, key
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        # A new connection now and then, so that every gateway is asked.
        while not self._stop.is_set():
            with Caller(self._server.url, self._key) as call:
                for _ in range(20):
                    try:
                        answer = call.infer("switched", x=[[1, 2]])
                    except OSError as error:
                        self.failures.append(error)
                        break
                    if answer.status != 200:
                        self.failures.append((answer.status, answer.body))
                        continue
                    body = answer.json()
                    first, second = body["outputs"][0]["data"]
                    # Answer and version belong together, in each single answer.
                    expected = {1: 10.0, 2: 20.0}[int(body["model_version"])]
                    if (first, second) != (expected, 2 * expected):
                        self.failures.append(body)
                    self.answers[first] += 1


@pytest.mark.slow
def test_versions_switch_under_load_and_a_broken_one_leaves_the_old(
    server: Server, client: Client, tmp_path: Path
) -> None:
    serve(client, "switched", graphs.scaled(tmp_path / "1.onnx", 10))
    client.models.import_model("switched", graphs.scaled(tmp_path / "2.onnx", 20))
    broken = client.models.import_model("switched", graphs.scaled(tmp_path / "3.onnx", 30))
    _damage(server.home, broken.artifacts[0].digest)
    key = client.keys.create("load")
    with Load(server, key.key) as load:
        wait_until(lambda: load.answers[10.0] > 50, 20, "the old version answers")
        client.models.set_alias("switched", "live", 2)
        wait_until(lambda: load.answers[20.0] > 50, 20, "the new version answers")
        deployment = client.deployments.wait_ready("switched")
        wait_until(lambda: _target(client) == 2, 20, "the status tells of the new version")
        assert deployment.status.reason == ""
        # Both gateways have switched: nobody answers with the old one any more.
        before = load.answers[10.0]
        wait_until(lambda: load.answers[20.0] > 300, 20, "the load goes on")
        assert load.answers[10.0] == before

        client.models.set_alias("switched", "live", 3)
        wait_until(lambda: _state(client)[0] == "failed", 30, "the broken version is noticed")
        with pytest.raises(DeploymentFailed, match="damaged"):
            client.deployments.wait_ready("switched")
        assert str(server.home) not in _state(client)[1]
        after = load.answers[20.0]
        wait_until(lambda: load.answers[20.0] > after + 100, 20, "the old one goes on")

        client.models.set_alias("switched", "live", 1)
        back = load.answers[10.0]
        wait_until(lambda: load.answers[10.0] > back + 50, 30, "it can be rolled back")
        wait_until(lambda: _state(client) == ("ready", ""), 20, "the status is good again")
    assert load.failures == []
    assert set(load.answers) == {10.0, 20.0}


def _state(client: Client) -> tuple[str, str]:
    status = client.deployments.get("switched").status
    return status.state, status.reason


def _target(client: Client) -> int | None:
    target = client.deployments.get("switched").status.target
    return None if target is None else target.number


def _damage(home: Path, digest: str) -> None:
    """Flip a bit of a file that was whole when it was registered."""
    blob = home / "blobs" / "sha256" / digest[:2] / digest
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
