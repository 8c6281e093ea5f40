"""One real server for all tests of this folder, as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import serve

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 60.0


class Server(NamedTuple):
    """A running server; `process` is its supervisor."""

    url: str
    admin_key: str
    home: Path
    process: subprocess.Popen[bytes]
    grpc_url: str


def start_server(home: Path, *options: str, port: str = "0", **environ: str) -> Server:
    """Start `modelyard up` and wait until it answers. Whoever starts it stops it.

    Raises:
        RuntimeError: it ended, or was not ready in time; with the end of its log.
    """
    home.mkdir(parents=True, exist_ok=True)
    log = home.with_name(f"{home.name}.log")
    command = [sys.executable, "-m", "modelyard", "up", "--port", port, "--home", str(home)]
    with log.open("ab") as target:
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MODELYARD_GRPC_PORT": "0", **environ},
            start_new_session=True,
        )
    end = time.monotonic() + START_SECONDS
    file = home / "server.json"
    while not (file.exists() and _pid(file) == process.pid):
        if process.poll() is not None or time.monotonic() > end:
            kill_server(process)
            said = log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"the server did not start (code {process.poll()}):\n{said}")
        time.sleep(0.05)
    said = msgspec.json.decode(file.read_bytes())
    key = (home / "admin.key").read_text().strip()
    return Server(said["url"], key, home, process, said["grpc_url"])


def stop_server(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and the exit code. A server that does not end is killed, and the test fails."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        kill_server(process)
        pytest.fail(f"the server did not end within {STOP_SECONDS:.0f} s of SIGTERM")


def kill_server(process: subprocess.Popen[bytes]) -> None:
    """Kill the supervisor; its children die with it."""
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Do not stop or break this one: it is everybody's."""
    started = start_server(tmp_path_factory.mktemp("server") / "home")
    try:
        yield started
    finally:
        code = stop_server(started.process)
    assert code == 0


@pytest.fixture(scope="package")
def clients_key(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that may infer, once the models that the published clients call are served."""
    folder = tmp_path_factory.mktemp("graphs")
    with Client(server.url, server.admin_key) as client:
        serve(client, "numbers", graphs.scaled(folder / "scaled.onnx", 10))
        serve(client, "words", graphs.echoed(folder / "echoed.onnx"))
        serve(client, "mixed", graphs.mixed(folder / "mixed.onnx"))
        serve(client, "types", graphs.typed(folder / "typed.onnx"))
        serve(client, "turns", graphs.slow(folder / "slow.onnx"))
        return client.keys.create("clients").key


@pytest.fixture(scope="session")
def clients_python() -> Path:
    """The interpreter that has the published clients."""
    return _interpreter(".venv-clients")


@pytest.fixture(scope="session")
def openai2_python() -> Path:
    """The interpreter that has the clients which want the second release of OpenAI's."""
    return _interpreter(".venv-clients-openai2")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """With the operator's key."""
    with Client(server.url, server.admin_key) as client:
        yield client


def _pid(file: Path) -> Any:
    """The process that wrote the file; a file of an earlier server may still be there."""
    try:
        return msgspec.json.decode(file.read_bytes()).get("pid")
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _interpreter(environment: str) -> Path:
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        reason = f"the environment {environment} is missing (make clients): its tests are LEFT OUT"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return python
