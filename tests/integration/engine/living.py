"""Whether a process lives."""

from __future__ import annotations

import psutil


def alive(pid: int) -> bool:
    """A zombie does not. Asked in one step: a process may end between two."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
