"""Starting and stopping what is measured, and reading how much processor time it took."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

READY_SECONDS = 60


class Server(msgspec.Struct, frozen=True):
    """A server under load. `path` takes the request; `measured` are the processes that answer."""

    name: str
    url: str
    path: str
    key: str
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.url.rpartition(":")[2])

    def cpu(self) -> tuple[float, float]:
        """Processor seconds so far: of the processes that answer requests, and of all."""
        root = psutil.Process(self.process.pid)
        every = [root, *root.children(recursive=True)]
        gateways = [each for each in every if "gateway" in each.cmdline()]
        return _seconds(gateways or every), _seconds(every)


@contextmanager
def bare(graph: Path, core: int) -> Iterator[Server]:
    """The reference handler."""
    port = _free_port()
    environment = {
        "MODELYARD_BENCH_MODEL": str(graph),
        "MODELYARD_BENCH_PORT": str(port),
    }
    with _running([sys.executable, "-m", "bench.bare"], environment, core) as process:
        url = f"http://127.0.0.1:{port}"
        _wait(port, process)
        yield Server("bare uvicorn", url, "/v2/models/model/infer", "none", process)


@contextmanager
def modelyard(graph: Path, home: Path, core: int) -> Iterator[Server]:
    """Modelyard as it ships, one gateway, with the model imported and deployed."""
    from modelyard_client import Client

    command = [sys.executable, "-m", "modelyard", "up", "--port", "0", "--home", str(home)]
    with _running([*command, "--workers", "1"], {}, core) as process:
        found = _await_file(home / "server.json", process)
        url = msgspec.json.decode(found)["url"]
        key = (home / "admin.key").read_text()
        client = Client(url, key)
        client.models.import_file("model", graph)
        client.deployments.put("model", "model")
        client.deployments.wait_ready("model", timeout=READY_SECONDS)
        infer_key = client.keys.create("bench", "infer")
        time.sleep(0.5)
        yield Server("modelyard", url, "/v2/models/model/infer", infer_key.key, process)


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], core: int
) -> Iterator[subprocess.Popen[bytes]]:
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pinned = ["taskset", "-c", str(core), *command]
    with subprocess.Popen(
        pinned, env={**os.environ, **threads, **environment}, stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def _await_file(path: Path, process: subprocess.Popen[bytes]) -> bytes:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists():
            return path.read_bytes()
        time.sleep(0.05)
    raise RuntimeError("modelyard did not come up")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _seconds(processes: list[psutil.Process]) -> float:
    total = 0.0
    for each in processes:
        times = each.cpu_times()
        total += times.user + times.system
    return total
