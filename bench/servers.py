"""Starting and stopping what is measured, and reading what it took of processor and memory."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

import msgspec
import psutil

from bench.contenders import Contender
from bench.environments import ROOT

READY_SECONDS: Final = 120
_STOP_SECONDS: Final = 20


class DidNotStart(Exception):
    """The server ended or kept silent; the message is the last thing that it said."""


class Memory(msgspec.Struct, frozen=True):
    """Of one process, in bytes: all that is mapped in, and its own share of what is."""

    resident: int
    proportional: int


class Server:
    """A server that runs. Its `port` is on loopback."""

    def __init__(
        self,
        contender: Contender,
        port: int,
        process: subprocess.Popen[bytes],
        started: float,
        said: IO[bytes],
    ) -> None:
        self.contender = contender
        self.port = port
        self.process = process
        self.started = started
        self._said = said

    def alive(self) -> None:
        """Nothing, while it runs.

        Raises:
            DidNotStart: it has ended.
        """
        if self.process.poll() is not None:
            raise DidNotStart(_last_line(self._said))

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        key = self.contender.key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def processes(self) -> list[psutil.Process]:
        """The whole tree."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def answering(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        word, every = self.contender.answering, self.processes()
        return [each for each in every if word in each.cmdline()] if word else every

    def cpu(self) -> tuple[float, float]:
        """Processor seconds so far: of the processes that answer requests, and of all."""
        seconds = {each: _seconds(each) for each in self.processes()}
        answering = sum(seconds.get(each, 0.0) for each in self.answering())
        return answering, sum(seconds.values())

    def memory(self) -> Memory:
        """Of the processes that answer requests."""
        infos = [each.memory_full_info() for each in self.answering()]
        return Memory(sum(info.rss for info in infos), sum(info.pss for info in infos))

    def post(
        self, model: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """One request: status, body, headers.

        Raises:
            OSError: nobody listens.
        """
        path = self.contender.path.format(model=model)
        return self._request("POST", path, body, {**self.headers, **headers})

    def ready(self, model: str) -> bool:
        """Whether it says that it serves the model."""
        path = self.contender.ready.format(model=model)
        try:
            return self._request("GET", path, b"", self.headers)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


@contextmanager
def running(
    contender: Contender, cores: Iterable[int], models: Sequence[str] = ()
) -> Iterator[Server]:
    """Start it on these cores, wait until it serves the models, and stop it at the end.

    Raises:
        DidNotStart: it does not get that far.
    """
    with tempfile.TemporaryFile() as said:
        server = _start(contender, cores, said)
        try:
            _await(server, models)
            yield server
        finally:
            _stop(server)


def _start(contender: Contender, cores: Iterable[int], said: IO[bytes]) -> Server:
    ports = {"port": _free_port(), "port2": _free_port(), "port3": _free_port()}
    command = [part.format(**ports) if part.startswith("{") else part for part in contender.command]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    own = {name: value.format(**ports) for name, value in contender.environment.items()}
    started = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cores)), *command],
        cwd=ROOT,
        env={**os.environ, **threads, **own},
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return Server(contender, ports["port"], process, started, said)


def _await(server: Server, models: Sequence[str]) -> None:
    waiting = list(models)
    while waiting:
        server.alive()
        if time.monotonic() - server.started > READY_SECONDS:
            raise DidNotStart(f"not ready after {READY_SECONDS} s: {', '.join(waiting)}")
        waiting = [model for model in waiting if not server.ready(model)]
        time.sleep(0.02)


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines()]
    return next((line[:200] for line in reversed(lines) if line), "it said nothing")


def _stop(server: Server) -> None:
    every: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        every = server.processes()
    server.process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(timeout=_STOP_SECONDS)
    _, left = psutil.wait_procs(every, timeout=3)
    for each in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(left, timeout=3)
    server.process.wait(timeout=_STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
