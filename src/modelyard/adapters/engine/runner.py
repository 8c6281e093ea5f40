"""Starts tasks in sandboxed processes, and follows them without trusting them."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import time
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Final

from modelyard.adapters.engine.log import ChildLog
from modelyard.adapters.engine.sandbox.policy import SandboxPolicy
from modelyard.adapters.engine.sandbox.process import SandboxedProcess
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.adapters.engine.status import describe
from modelyard.adapters.engine.wire import LineReader
from modelyard.core.tasks import (
    CRASHED,
    KILLED,
    OVER_LIMIT,
    TIMED_OUT,
    Limits,
    Outcome,
    Progress,
)

LOG_FILE: Final = "log.txt"
CHUNK: Final = 64 * 1024
POLL_SECONDS: Final = 0.02
MAX_LAST_READS: Final = 32
"""A pipe holds 64 KiB; more than this much comes from a process that got away."""
NICENESS: Final = 10
"""Tasks give way to processes that answer requests."""

_ONE_THREAD: Final[Mapping[str, str]] = {
    # In each library, for workers share the cores.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
}

logger = logging.getLogger(__name__)


class ProcessTaskRunner:
    """Runs the task `<name>` as `<target> task <name> <scratch>`, each in a sandbox of its own.

    `target` is a module or a script that ends in `child.main`. `memory_bytes` bounds the memory of
    any task, `seconds` its time (None: no limit), and `processes` is how many it may be at once
    where its own limits do not say. The tasks of `deaf_servers` have a library that
    insists on listening. A task dies with the thread that started it, so that thread has to wait
    for it.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        target: str,
        memory_bytes: int,
        seconds: float | None = None,
        *,
        processes: int = 1,
        deaf_servers: Set[str] = frozenset(),
    ) -> None:
        self._sandbox = sandbox
        self._target = target
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._processes = processes
        self._deaf_servers = deaf_servers

    def start(self, task: str, scratch: Path, limits: Limits = Limits()) -> ProcessTask:  # noqa: B008
        """Start `task` on the folder, which is all that it can write to.

        Of its own `limits` and the server's, the lower ones hold.

        Raises:
            OSError: no process could be made.
        """
        log = ChildLog(scratch / LOG_FILE)
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        arguments = (
            *("task", task, str(scratch)),
            f"--progress-fd={writing}",
            f"--memory-bytes={self._memory_bytes}",
        )
        policy = SandboxPolicy(
            scratch=scratch,
            memory_bytes=self._memory_bytes,
            # Libraries map more than they use: what counts is what they use.
            resident_bytes=min(self._memory_bytes, limits.memory_bytes or self._memory_bytes),
            processes=limits.processes or self._processes,
            niceness=NICENESS,
            deaf_server=task in self._deaf_servers,
            environ=_ONE_THREAD,
        )
        try:
            process = self._sandbox.start(
                self._target, arguments, policy, pass_fds=(writing,), output=log.writing
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
            log.follow()
        bounds = [seconds for seconds in (self._seconds, limits.seconds) if seconds is not None]
        return ProcessTask(process, reading, log, min(bounds, default=None))


class ProcessTask:
    """A child at work."""

    def __init__(
        self,
        process: SandboxedProcess,
        progress_fd: int,
        log: ChildLog,
        seconds: float | None,
    ) -> None:
        self._process = process
        self._fd: int | None = progress_fd
        self._log = log
        self._seconds = seconds
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        self._lines = LineReader()
        self._waiting: list[Progress] = []
        self._told: Outcome | None = None
        self._outcome: Outcome | None = None

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def progress(self, timeout: float) -> list[Progress]:
        """What came since the last call; waits up to `timeout` seconds for something to come."""
        until = min(time.monotonic() + timeout, self._deadline)
        while not self._waiting and self._outcome is None:
            if self._fd is not None:
                _wait_for(self._fd, until - time.monotonic())
            self._read()
            if self._fd is None:
                # Nothing more will come: the child is ending, or has closed the pipe.
                self._reap(until)
            if time.monotonic() >= until:
                break
        came, self._waiting = self._waiting, []
        return came

    def outcome(self) -> Outcome | None:
        """How it ended, or None while it runs."""
        self._reap(until=0)
        if self._outcome is None and time.monotonic() >= self._deadline:
            self._end(
                Outcome(
                    ok=False,
                    code=TIMED_OUT,
                    message=f"the task took longer than its limit of {self._seconds:g} s",
                    crashed=True,
                )
            )
        return self._outcome

    def kill(self) -> None:
        """End the child's whole process group; returns when it is gone."""
        if self._outcome is None:
            self._end(Outcome(ok=False, code=CRASHED, message="the task was stopped", crashed=True))

    def _read(self) -> None:
        if self._fd is None:
            return
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        if not data:
            os.close(self._fd)
            self._fd = None
            return
        for line in self._lines.feed(data):
            self._told = line.outcome or self._told
            if line.progress is not None:
                self._waiting.append(line.progress)

    def _reap(self, until: float) -> None:
        """Set the outcome if the child ends before `until`."""
        while self._outcome is None:
            if self._process.poll() is not None:
                self._end(None)
            elif (rest := until - time.monotonic()) > 0:
                time.sleep(min(rest, POLL_SECONDS))
            else:
                return

    def _end(self, outcome: Outcome | None) -> None:
        """Kill what is left of the child, and settle how it ended."""
        status = self._process.kill()
        for _ in range(MAX_LAST_READS):
            if self._fd is not None:
                self._read()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._log.close()
        self._outcome = outcome or self._judge(status)
        if self._lines.dropped:
            logger.warning(
                "a task wrote lines that are no progress", extra={"dropped": self._lines.dropped}
            )
        stopped = outcome is not None and outcome.code == CRASHED
        if self._outcome.crashed and not stopped:
            logger.warning(
                "a task died",
                extra={"reason": self._outcome.message, "last_words": self._log.last_words},
            )

    def _judge(self, status: int) -> Outcome:
        told = self._told
        if told is not None and not told.ok:
            return told
        if status == 0 and told is not None:
            return told
        if excess := self._process.killed_because:
            return Outcome(ok=False, code=OVER_LIMIT, message=f"the task was stopped: {excess}")
        message = f"the task's process {describe(status)}"
        if status >= 0:
            message += " before it was done"
        code = KILLED if status == -signal.SIGKILL else CRASHED
        return Outcome(ok=False, code=code, message=message, crashed=True)


def _wait_for(fd: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(max(0.0, seconds) * 1000)
