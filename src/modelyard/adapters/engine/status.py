"""How a process ended, in words."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Final

from modelyard.adapters.engine.sandbox.launcher import NOT_ENCLOSED

_CAUSES: Final[Mapping[int, str]] = {
    signal.SIGKILL: "probably the system ran out of memory",
    signal.SIGSEGV: "a native library failed",
    signal.SIGABRT: "a native library gave up",
    signal.SIGBUS: "a native library failed, or the disk is full",
    signal.SIGILL: "a native library wants another processor",
    signal.SIGXCPU: "it used up its processor time",
    signal.SIGTERM: "someone asked it to stop",
}


def describe(status: int) -> str:
    """Of a `returncode` as subprocess tells it: negative for a signal, with its usual cause."""
    if status == NOT_ENCLOSED:
        return "could not be shut in: the log says why"
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    cause = _CAUSES.get(-status)
    return f"was killed by {name}" + (f": {cause}" if cause else "")
