"""A sandboxed process as its parent sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import Final

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05


class SandboxedProcess:
    """A process, and whatever it started, as one thing that ends as one. Safe from any thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._status: int | None = None
        self.killed_because = ""
        """What the watchdog killed it for; empty if it did not."""

    @property
    def pid(self) -> int:
        """Its process id, which is its group's and session's as well."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether it has ended and somebody has taken note of that."""
        return self._status is not None

    def poll(self) -> int | None:
        """How it ended, as `subprocess` tells it (-9 is SIGKILL), or None while it runs."""
        with self._lock:
            if self._status is None and self._ended():
                self._reap()
            return self._status

    def wait(self, timeout: float) -> int | None:
        """`poll`, but give it `timeout` seconds to end."""
        end, pause = time.monotonic() + timeout, _FIRST_PAUSE
        while (status := self.poll()) is None and (rest := end - time.monotonic()) > 0:
            time.sleep(min(pause, rest))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return status

    def terminate(self) -> None:
        """Ask it to end. It may ignore that."""
        with self._lock:
            if self._status is None:
                os.kill(self.pid, signal.SIGTERM)

    def kill(self, because: str = "") -> int:
        """End it and all that it started, and wait until it is gone; returns how it ended."""
        with self._lock:
            if self._status is None:
                if not self._ended():
                    self.killed_because = because
                self._reap()
            assert self._status is not None  # noqa: S101
            return self._status

    def _ended(self) -> bool:
        # WNOWAIT leaves the dead process in place, so that its group's id cannot be reused yet.
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, how) is not None

    def _reap(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self._status = self._process.wait()
