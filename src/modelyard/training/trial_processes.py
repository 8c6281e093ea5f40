"""Trials in several processes at once: the side that starts them.

Each process is a fresh interpreter that lays the groundwork for itself from the scratch folder
(`trial_process.py`). Orders and trials are lines of JSON, and a trial is told to each process once.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, cast

import msgspec

from modelyard.training.trial import Trial

MODULE: Final = "modelyard.training.trial_process"
OUT_OF_MEMORY: Final = 12
"""The exit status of a process that has no memory left."""
MAX_DEATHS: Final = 3
"""Processes that may die before the whole search is given up."""
_FLAGS: Final = ("-P", "-s", "-S", "-B", "-u")


class TrialOrder(msgspec.Struct, frozen=True):
    """Run the trial `number` of this algorithm, knowing the first `known` trials.

    `news` are trials that the process has not been told of yet, in order.
    """

    algorithm: str
    number: int
    known: int
    news: tuple[Trial, ...]


class _Process:
    """One of them: what it has been told and what it is at."""

    def __init__(self, scratch: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, *_FLAGS, "-m", MODULE, str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=scratch,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self.told = 0
        self.busy: tuple[int, Sequence[Trial]] | None = None

    @property
    def answers(self) -> IO[bytes]:
        return cast(IO[bytes], self._child.stdout)

    def send(self, order: TrialOrder) -> None:
        pipe = cast(IO[bytes], self._child.stdin)
        try:
            pipe.write(msgspec.json.encode(order) + b"\n")
            pipe.flush()
        except BrokenPipeError:
            return  # its death is noticed by whoever waits for the answer

    def end(self) -> int:
        """Kill it if it is alive; its exit status."""
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            try:
                cast(IO[bytes], pipe).close()
            except BrokenPipeError:
                continue
        return self._child.wait()

    def status(self) -> int:
        """How it ended. It has closed its answers, so it is about to."""
        return self._child.wait()


class TrialProcesses:
    """A crew of `size` processes. They are there, and at work on the groundwork, at once.

    `algorithm` is set before the first trial begins.
    """

    def __init__(self, size: int, scratch: Path) -> None:
        self.size = size
        self.algorithm = ""
        self._scratch = scratch
        self._deaths = 0
        self._processes = [_Process(scratch) for _ in range(size)]

    def __enter__(self) -> TrialProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.end()

    def begin(self, number: int, known: Sequence[Trial]) -> None:
        idle = next(process for process in self._processes if process.busy is None)
        self._order(idle, number, known)

    def wait(self) -> Trial:
        """The next trial that is done.

        Raises:
            MemoryError: a process had none left.
            ChildProcessError: processes died again and again.
        """
        while True:
            busy = {p.answers.fileno(): p for p in self._processes if p.busy is not None}
            ready, _, _ = select.select(list(busy), (), ())
            process = busy[ready[0]]
            line = process.answers.readline()
            if line.endswith(b"\n"):
                process.busy = None
                return msgspec.json.decode(line, type=Trial)
            self._replace(process)

    def _order(self, process: _Process, number: int, known: Sequence[Trial]) -> None:
        news = tuple(known[process.told :])
        process.told = max(process.told, len(known))
        process.busy = number, known
        process.send(TrialOrder(self.algorithm, number, len(known), news))

    def _replace(self, dead: _Process) -> None:
        """Another process takes over the trial of one that died."""
        status = dead.status()
        dead.end()
        if status == OUT_OF_MEMORY:
            raise MemoryError
        self._deaths += 1
        if self._deaths > MAX_DEATHS or dead.busy is None:
            raise ChildProcessError(
                f"{self._deaths} processes that ran trials died, the last with status {status}"
            )
        self._processes[self._processes.index(dead)] = heir = _Process(self._scratch)
        self._order(heir, *dead.busy)
