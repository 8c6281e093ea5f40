"""A server of one's own, as a child process: for the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from modelyard.cli.failure import CommandFailed
from modelyard_client import Client, ClientError
from modelyard_client.location import locate

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_LOG_LINES: Final = 15


class LocalServer:
    """`modelyard up` on a free port, in a home of its own, logging to a file."""

    def __init__(self, home: Path, log: Path) -> None:
        self.home = home
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """The command, as a person would type it."""
        return ("modelyard", "up", "--port", "0", "--grpc-port", "0", "--home", str(self.home))

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None  # noqa: S101
        return self._process.pid

    def start(self, timeout: float = 60.0) -> Client:
        """Start it, wait until it answers, and return a client with its operator's key, which
        waits for `timeout` seconds for each answer.

        It gets a session of its own, so that an interrupt at the keyboard reaches us alone and
        the server is then stopped in good order.

        Raises:
            CommandFailed: it ended, or did not answer in time.
        """
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MODELYARD_")}
        environ["MODELYARD_LOG_LEVEL"] = "warning"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                stdin=subprocess.DEVNULL,
                # The banner there shows the operator's key; the log is on standard error.
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environ,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not (self.home / "server.json").exists():
            if self._process.poll() is not None:
                raise CommandFailed(f"the server ended at once with code {self._process.poll()}")
            if time.monotonic() > end:
                raise CommandFailed(f"the server was not ready after {START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        try:
            location = locate(environ={"MODELYARD_HOME": str(self.home)})
        except ClientError as error:
            raise CommandFailed(f"the server cannot be found: {error}") from None
        return Client(location.url, location.api_key, timeout=timeout)

    def stop(self) -> int | None:
        """Ask it to drain and end; return its exit code, None if it had to be killed."""
        process = self._process
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None

    def last_words(self) -> str:
        """The end of its log."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-_LOG_LINES:])
