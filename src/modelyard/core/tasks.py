"""Tasks: work that runs in a child process of its own, so that a crash touches nothing else.

A task reads `spec.json` and its input files from a scratch folder, and leaves its result there.
It knows no database and holds no secret. The parent decides what becomes of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

SPEC_FILE: Final = "spec.json"
RESULT_FILE: Final = "result.json"

# Codes of outcomes beside those of core.errors.
TASK_FAILED: Final = "task_failed"
"""The task raised what it should not have."""
OUT_OF_MEMORY: Final = "out_of_memory"
OVER_LIMIT: Final = "over_limit"
"""It was killed for using more than it may, of memory in all its processes, threads or disk."""
TIMED_OUT: Final = "timed_out"
CRASHED: Final = "crashed"
"""The process died of a signal or without a word."""
KILLED: Final = "killed"
"""The process died of SIGKILL: by the system, which ran short of something, or by a person."""
NO_SPACE: Final = "no_space"
"""The disk is full: the server's trouble, and not the file's."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a running task says of itself.

    `fraction` is between 0 and 1; `data` is for machines (a metric, a candidate's score).
    """

    message: str
    fraction: float | None = None
    data: Mapping[str, Any] = {}


Report = Callable[[Progress], None]
Task = Callable[[Path, Report], None]
"""`task(scratch, report)`: raises a `ModelyardError` for a failure that the user can mend."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a child ended. `code` and `message` are set when it failed.

    `crashed` tells a child that died (signal, memory, time limit), which is worth another
    attempt, from one that said what was wrong, which is not.
    """

    ok: bool
    code: str = ""
    message: str = ""
    crashed: bool = False


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one task may use, within what the server allows any task; None is as much as that.

    `seconds` is time that passes; `processes` run at once, the task's own among them, and
    `memory_bytes` is what all of them really use.
    """

    memory_bytes: int | None = None
    seconds: float | None = None
    processes: int | None = None


class RunningTask(Protocol):
    """A child process at work."""

    def progress(self, timeout: float) -> list[Progress]:
        """What came since the last call; waits up to `timeout` seconds for something to come."""
        ...

    def outcome(self) -> Outcome | None:
        """How it ended, or None while it runs."""
        ...

    def kill(self) -> None:
        """End it and everything that it started; returns when it is gone."""
        ...


class TaskRunner(Protocol):
    """Starts tasks by name in processes of their own."""

    def start(self, task: str, scratch: Path, limits: Limits = Limits()) -> RunningTask:  # noqa: B008
        """Start `task` on the folder, which already holds its spec and inputs."""
        ...
