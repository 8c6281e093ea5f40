"""Models in processes of their own, behind whole gateways: cold, killed, switched, deleted."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import grpc
import numpy as np
import orjson
import pytest

from modelyard.api.grpc.generated import inference_pb2 as messages
from modelyard.api.grpc.service import SERVICE
from modelyard_client import Client, DeploymentFailed, ReplicaOptions, ServingOptions
from tests.e2e import graphs
from tests.e2e.calls import Answer, Caller
from tests.e2e.conftest import Server, kill_server, start_server, stop_server
from tests.e2e.processes import replicas, wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two gateways that keep no model to themselves."""
    home = tmp_path_factory.mktemp("replicas") / "home"
    started = start_server(home, "--workers", "2", MODELYARD_INLINE_MEMORY_BYTES="0")
    try:
        yield started
        assert stop_server(started.process) == 0
        assert not list((home / "replicas").iterdir())
    finally:
        kill_server(started.process)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Leaves no replica behind, so that whatever there is belongs to the test that looks."""
    with Client(server.url, server.admin_key) as made:
        yield made
        for deployment in made.deployments.list():
            made.deployments.delete(deployment.name)
    wait_until(lambda: not replicas(server.process.pid), 30, "all replicas have ended")


def deploy(
    client: Client, name: str, graph: Path, replicas: ReplicaOptions | None = None, **options: float
) -> None:
    version = client.models.import_model(name, graph)
    given = ServingOptions(replicas=replicas, **options)  # type: ignore[arg-type]
    client.deployments.put(name, f"{name}:{version.number}", given)
    client.deployments.wait_ready(name)


class Load:
    """Closed-loop clients of one deployment; counts what came of each request."""

    def __init__(self, server: Server, name: str, threads: int = 2) -> None:
        self.statuses: Counter[int] = Counter()
        self.factors: Counter[float] = Counter()
        self.failures: list[object] = []
        self._server, self._name = server, name
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        number = 0.0
        while not self._stop.is_set():
            with Caller(self._server.url, self._server.admin_key) as call:
                for _ in range(20):
                    number += 1
                    try:
                        self._take(call.infer(self._name, x=[[number, 1]]), number)
                    except (OSError, HTTPException) as error:
                        self.failures.append(error)
                        break

    def _take(self, answer: Answer, number: float) -> None:
        self.statuses[answer.status] += 1
        if answer.status == 200:
            first, factor = answer.json()["outputs"][0]["data"]
            self.factors[factor] += 1
            if first != number * factor:
                self.failures.append(answer)
        elif answer.status != 503 or int(answer.headers["retry-after"]) < 1:
            self.failures.append(answer)


def test_every_protocol_is_answered_by_a_replica(
    server: Server, client: Client, tmp_path: Path
) -> None:
    deploy(client, "spoken", graphs.scaled(tmp_path / "m.onnx", 10))
    assert len(replicas(server.process.pid)) == 1
    rows = [[1.0, 2.0], [3.0, 4.0]]
    expected = [[10.0, 20.0], [30.0, 40.0]]
    with Caller(server.url, server.admin_key) as call:
        assert call.infer("spoken", x=rows).json()["outputs"][0]["data"] == [10, 20, 30, 40]
        spoken = call("POST", "/v1/models/spoken:predict", {"instances": rows})
        assert spoken.json() == {"predictions": expected}
        large = np.arange(1 << 18, dtype=np.float32).reshape(-1, 2)
        for values in (np.array(rows, np.float32), large):
            answer = binary(call, values)
            np.testing.assert_array_equal(answer, values * 10)
        assert call("GET", "/v2/models/spoken/ready").status == 200
        refused = call.infer("spoken", x=[[1.0, 2.0, 3.0]])
        assert refused.status == 400
    assert grpc_infer(server, "spoken", rows) == expected


def binary(call: Caller, values: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> object:
    """One request of the binary tensor extension."""
    head = orjson.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": list(values.shape),
                    "parameters": {"binary_data_size": values.nbytes},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    )
    headers = {"inference-header-content-length": str(len(head))}
    answer = call("POST", "/v2/models/spoken/infer", head + values.tobytes(), headers=headers)
    assert answer.status == 200, answer.body[:300]
    at = int(answer.headers["inference-header-content-length"])
    return np.frombuffer(answer.body[at:], np.float32).reshape(values.shape)


def grpc_infer(server: Server, name: str, rows: list[list[float]]) -> list[list[float]]:
    request = messages.ModelInferRequest(model_name=name)
    given = request.inputs.add(name="x", datatype="FP32", shape=[len(rows), 2])
    given.contents.fp32_contents.extend(value for row in rows for value in row)
    key = (("authorization", f"Bearer {server.admin_key}"),)
    with grpc.insecure_channel(server.grpc_url) as channel:
        infer: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            SERVICE + "ModelInfer"
        )
        answer = messages.ModelInferResponse.FromString(
            infer(request.SerializeToString(), metadata=key, timeout=60)
        )
    (raw,) = answer.raw_output_contents or [
        struct.pack(f"<{2 * len(rows)}f", *answer.outputs[0].contents.fp32_contents)
    ]
    return np.frombuffer(raw, np.float32).reshape(-1, 2).tolist()


def test_a_model_that_nobody_asks_has_no_process_and_wakes_when_it_is_asked(
    server: Server, client: Client, tmp_path: Path
) -> None:
    options = ReplicaOptions(min=0, max=2)
    deploy(client, "sleeper", graphs.scaled(tmp_path / "m.onnx", 3), options, idle_seconds=1.0)
    with Caller(server.url, server.admin_key) as call:
        for _ in range(2):
            wait_until(lambda: not replicas(server.process.pid), 30, "it is asleep")
            assert call("GET", "/v2/models/sleeper/ready").status == 200
            assert call("POST", "/v2/repository/models/sleeper/load").status == 200
            wait_until(lambda: len(replicas(server.process.pid)) == 1, 30, "it wakes")
            wait_until(lambda: not replicas(server.process.pid), 30, "it is asleep again")
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda n: _once(server, "sleeper", n), range(8)))
            assert [answer.status for answer in answers] == [200] * 8
            assert len(replicas(server.process.pid)) in (1, 2)


def _once(server: Server, name: str, number: float) -> Answer:
    with Caller(server.url, server.admin_key) as call:
        return call.infer(name, x=[[number, 1]])


def test_replicas_that_are_killed_under_load_fail_only_what_they_have(
    server: Server, client: Client, tmp_path: Path
) -> None:
    deploy(client, "killed", graphs.scaled(tmp_path / "1.onnx", 5), ReplicaOptions(min=2, max=2))
    wait_until(lambda: len(replicas(server.process.pid)) == 2, 20, "both are there")
    mine = replicas(server.process.pid)
    wait_until(lambda: client.deployments.get("killed").status.replicas == 2, 20, "it is told")
    deploy(client, "neighbour", graphs.scaled(tmp_path / "2.onnx", 7))
    theirs = replicas(server.process.pid) - mine
    with Load(server, "killed") as load, Load(server, "neighbour", 1) as beside:
        wait_until(lambda: load.statuses[200] > 100, 20, "it answers")
        for _ in range(4):
            victims = replicas(server.process.pid) - theirs
            for pid in sorted(victims)[:1]:
                os.kill(pid, signal.SIGKILL)
            answered = load.statuses[200]
            wait_until(lambda: load.statuses[200] > answered + 100, 20, "it goes on")  # noqa: B023
            wait_until(lambda: len(replicas(server.process.pid) - theirs) >= 2, 20, "it is back")
    assert load.failures == beside.failures == []
    assert set(beside.statuses) == {200}
    # A death costs at most what was in flight: one call for each gateway, of two clients.
    assert load.statuses[503] <= 4 * 2
    assert set(load.statuses) <= {200, 503}


def test_a_version_switches_and_a_deployment_goes_without_a_failed_request(
    server: Server, client: Client, tmp_path: Path
) -> None:
    deploy(client, "moving", graphs.scaled(tmp_path / "1.onnx", 10))
    second, third = (
        client.models.import_model("moving", graphs.scaled(tmp_path / f"{n}.onnx", 10 * n))
        for n in (2, 3)
    )
    digest = third.artifacts[0].digest
    (server.home / "blobs" / "sha256" / digest[:2] / digest).unlink()
    with Load(server, "moving") as load:
        wait_until(lambda: load.factors[10.0] > 50, 20, "the old version answers")
        client.deployments.put("moving", f"moving:{second.number}")
        wait_until(lambda: load.factors[20.0] > 50, 20, "the new version answers")
        client.deployments.wait_ready("moving")
        # Other options are no reason to fail either.
        options = ServingOptions(replicas=ReplicaOptions(min=2, max=2), max_batch_size=4)
        client.deployments.put("moving", f"moving:{second.number}", options)
        client.deployments.wait_ready("moving")
        # A version that does not load leaves the one before.
        client.deployments.put("moving", f"moving:{third.number}")
        with pytest.raises(DeploymentFailed):
            client.deployments.wait_ready("moving")
        answered = load.factors[20.0]
        wait_until(lambda: load.factors[20.0] > answered + 100, 20, "it goes on")
    assert load.failures == []
    assert set(load.statuses) == {200}


def test_what_is_in_flight_when_its_deployment_goes_is_answered(
    server: Server, client: Client, tmp_path: Path
) -> None:
    deploy(client, "leaving", graphs.slow(tmp_path / "m.onnx"))
    with Caller(server.url, server.admin_key) as call, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(_slow, server, "leaving", 400)
        wait_until(lambda: _in_flight(call, "leaving") == 1, 20, "it is at work")
        client.deployments.delete("leaving")
        wait_until(
            lambda: call.infer("leaving", turns=[1]).status == 404, 20, "it is gone for others"
        )
        assert pending.result(60).status == 200
    wait_until(lambda: not replicas(server.process.pid), 20, "its process has ended")


def test_a_request_that_was_present_at_two_deaths_is_refused(
    server: Server, client: Client, tmp_path: Path
) -> None:
    deploy(client, "poisoned", graphs.slow(tmp_path / "m.onnx"), timeout_ms=30_000)
    statuses: list[int] = []
    said = b""
    with Caller(server.url, server.admin_key) as call, ThreadPoolExecutor(1) as pool:
        # Whichever gateways have it: they tell each other.
        while 422 not in statuses and len(statuses) < 5:
            wait_until(lambda: call.infer("poisoned", turns=[1]).status == 200, 30, "it is back")
            pending = pool.submit(_slow, server, "poisoned", 100_000)
            wait_until(
                lambda: pending.done() or _in_flight(call, "poisoned") == 1,  # noqa: B023
                20,
                "it is at work",
            )
            time.sleep(0.3)
            if not pending.done():
                for pid in replicas(server.process.pid):
                    os.kill(pid, signal.SIGKILL)
            answer = pending.result(60)
            statuses.append(answer.status)
            said = answer.body
        assert statuses == [503, 503, 422]
        assert b"has died 2 times" in said
        assert call.infer("poisoned", turns=[1]).status == 200


def test_a_model_that_dies_again_and_again_is_not_ready_and_says_why(
    server: Server, client: Client, tmp_path: Path
) -> None:
    deploy(client, "crashing", graphs.scaled(tmp_path / "m.onnx", 2))

    def state() -> str:
        for pid in replicas(server.process.pid):
            os.kill(pid, signal.SIGKILL)
        return client.deployments.get("crashing").status.state

    wait_until(lambda: state() == "failed", 60, "it has failed")
    assert "SIGKILL" in client.deployments.get("crashing").status.reason
    with Caller(server.url, server.admin_key) as call:
        ready = call("GET", "/v2/models/crashing/ready")
        assert ready.status == 503
        answer = call.infer("crashing", x=[[1, 2]])
        assert answer.status == 503
        assert "SIGKILL" in answer.json()["error"]
        assert call("GET", "/v2/health/live").status == 200


def test_what_a_replica_has_is_answered_when_the_server_stops(tmp_path: Path) -> None:
    server = start_server(tmp_path / "home", "--workers", "1", MODELYARD_INLINE_MEMORY_BYTES="0")
    try:
        with Client(server.url, server.admin_key) as client:
            deploy(client, "slow", graphs.slow(tmp_path / "m.onnx"))
        with Caller(server.url, server.admin_key) as call, ThreadPoolExecutor(1) as pool:
            pending = pool.submit(_slow, server, "slow", 300)
            wait_until(lambda: _in_flight(call, "slow") == 1, 20, "it is at work")
            server.process.send_signal(signal.SIGTERM)
            assert pending.result(60).status == 200
        assert server.process.wait(30) == 0
    finally:
        kill_server(server.process)


def _slow(server: Server, name: str, turns: int) -> Answer:
    with Caller(server.url, server.admin_key, timeout=100) as call:
        return call.infer(name, turns=[turns])


def _in_flight(call: Caller, name: str) -> int:
    """How many requests of a deployment the gateways have."""
    text = call("GET", "/metrics").body.decode()
    for line in text.splitlines():
        if line.startswith("modelyard_requests_in_flight") and f'deployment="{name}"' in line:
            return int(line.split()[-1])
    return 0
