"""Replicas that are played by a process of their own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.serving.replica import acting


class Actors:
    """Processes that act as replicas."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, behaviour: str) -> socket.socket:
        """The gateway's end of the socket to a new one."""
        mine, other = socket.socketpair()
        command = [sys.executable, "-m", acting.__name__, str(other.fileno()), behaviour]
        self.processes.append(subprocess.Popen(command, pass_fds=[other.fileno()]))
        other.close()
        return mine

    def stop(self) -> None:
        """End them all."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def actors() -> Iterator[Actors]:
    """Started as they are needed, and ended with the test."""
    made = Actors()
    yield made
    made.stop()
