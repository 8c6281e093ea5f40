"""The child's side: one task in a process of its own, shut in, and told on a pipe how it went."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from modelyard.adapters.engine.wire import MAX_MESSAGE, Line, pack
from modelyard.core.errors import ModelyardError
from modelyard.core.tasks import (
    NO_SPACE,
    OUT_OF_MEMORY,
    TASK_FAILED,
    Outcome,
    Progress,
    Report,
    Task,
)

logger = logging.getLogger(__name__)

_PATH: Final = re.compile(r"(?:/[^\s'\",:;()]+)+/([^\s/'\",:;()]*)")


def main(tasks: Mapping[str, Task], arguments: Sequence[str]) -> int:
    """Run the task that `ProcessTaskRunner` asks for; return the exit status.

    `arguments` are those after the command's own: `task <name> <scratch> --progress-fd N
    --memory-bytes N`. The sandbox is around this process already.
    """
    parser = argparse.ArgumentParser(prog="task", allow_abbrev=False)
    parser.add_argument("verb", choices=["task"])
    parser.add_argument("name", choices=sorted(tasks))
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--progress-fd", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    given = parser.parse_args(arguments)
    return run_task(tasks[given.name], given.scratch, given.progress_fd, given.memory_bytes)


def run_task(task: Task, scratch: Path, progress_fd: int, memory_bytes: int) -> int:
    """Run `task` and write its progress, then its outcome, to `progress_fd`.

    `memory_bytes` is the limit that it runs under, to be named when it does not suffice.

    Returns 0 when the task ended well, 1 when it failed and said why.
    """
    os.set_inheritable(progress_fd, False)

    def report(progress: Progress) -> None:
        _write(progress_fd, Line(progress=progress))

    outcome = _attempt(task, scratch, report, memory_bytes)
    _write(progress_fd, Line(outcome=outcome))
    return 0 if outcome.ok else 1


def _attempt(task: Task, scratch: Path, report: Report, memory_bytes: int) -> Outcome:
    try:
        task(scratch, report)
    except ModelyardError as error:
        return Outcome(ok=False, code=error.code, message=error.message[:MAX_MESSAGE])
    except MemoryError:
        return Outcome(
            ok=False,
            code=OUT_OF_MEMORY,
            message=f"the task needs more than its memory limit of {memory_bytes >> 20} MiB; "
            "use less data or raise task_memory_bytes",
        )
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Outcome(ok=False, code=NO_SPACE, message="the server's disk is full")
        logger.exception("task failed")
        return Outcome(ok=False, code=TASK_FAILED, message=_shortened(error))
    return Outcome(ok=True)


def _write(progress_fd: int, line: Line) -> None:
    rest = pack(line)
    while rest:
        rest = rest[os.write(progress_fd, rest) :]


def _shortened(error: BaseException) -> str:
    """Type and message without the host's folders: of a path only the last part stays."""
    text = _PATH.sub(r"\1", str(error)).strip()
    name = type(error).__name__
    return f"{name}: {text}"[:500] if text else name
