"""What became of a task: its failures as errors again, and the files that it left.

The child is not trusted: it names an error's code, and it could leave a link where a file is
expected, or a result of any size.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from modelyard.core import errors
from modelyard.core.tasks import (
    CRASHED,
    KILLED,
    NO_SPACE,
    OUT_OF_MEMORY,
    OVER_LIMIT,
    RESULT_FILE,
    TASK_FAILED,
    TIMED_OUT,
    Outcome,
    TaskRunner,
)

MAX_RESULT_BYTES: Final = 32 << 20
WAIT_SECONDS: Final = 1.0

Result = TypeVar("Result")

_TOLD: Final[Mapping[str, type[errors.ModelyardError]]] = {
    kind.code: kind
    for kind in (
        errors.Invalid,
        errors.Conflict,
        errors.NotFound,
        errors.NotInstalled,
        errors.TooLarge,
        errors.UnsupportedFormat,
    )
} | {
    # A file that breaks its reader is the file's fault as far as its sender can tell.
    TASK_FAILED: errors.Invalid,
    CRASHED: errors.Invalid,
    OUT_OF_MEMORY: errors.TooLarge,
    OVER_LIMIT: errors.TooLarge,
    TIMED_OUT: errors.TooLarge,
    # Its memory is bounded otherwise: this was the system's doing, and may not come again.
    KILLED: errors.Unavailable,
    NO_SPACE: errors.StorageFull,
}

_OF_THE_PROCESS: Final = {TASK_FAILED, CRASHED, KILLED, OUT_OF_MEMORY, OVER_LIMIT, TIMED_OUT}

BROKEN: Final = frozenset(
    {"damaged", "cannot_load", TASK_FAILED, CRASHED, OUT_OF_MEMORY, OVER_LIMIT, TIMED_OUT}
)
"""Codes of outcomes that are the file's own fault, and will be the same the next time."""


def run_to_end(runner: TaskRunner, task: str, scratch: Path, subject: str) -> None:
    """Run a short task and wait for it.

    Raises:
        ModelyardError: what the task raised, or `Invalid`, `TooLarge` or `Unavailable` naming
            `subject` when it could not say anything.
    """
    outcome = outcome_of(runner, task, scratch)
    if not outcome.ok:
        raise error_of(outcome, subject)


def outcome_of(runner: TaskRunner, task: str, scratch: Path) -> Outcome:
    """Run a short task, and say how it ended."""
    running = runner.start(task, scratch)
    try:
        while (outcome := running.outcome()) is None:
            running.progress(WAIT_SECONDS)
    finally:
        running.kill()
    return outcome


def error_of(outcome: Outcome, subject: str) -> errors.ModelyardError:
    """The failure as the class of errors that the child named."""
    kind = _TOLD.get(outcome.code, errors.ModelyardError)
    if outcome.code in _OF_THE_PROCESS:
        return kind(f"{subject} could not be read: {outcome.message}")
    return kind(outcome.message)


def read_result(scratch: Path, kind: type[Result], name: str = RESULT_FILE) -> Result:
    """The task's `result.json`, or another file of its making.

    Raises:
        Invalid: there is none, or it is not what this task is to leave.
    """
    path = left_file(scratch, name)
    if path.stat().st_size > MAX_RESULT_BYTES:
        raise errors.TooLarge(f"the task's result is over {MAX_RESULT_BYTES >> 20} MiB")
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise errors.Invalid(f"the task's result is not valid: {error}") from None


def left_file(scratch: Path, name: str) -> Path:
    """A plain file that the task left in its folder.

    Raises:
        Invalid: there is no such file, or the name leads elsewhere.
    """
    path = scratch / name
    try:
        plain = path.parent == scratch and stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        plain = False
    if not plain:
        raise errors.Invalid(f"the task did not leave the file '{name[:80]}'")
    return path
