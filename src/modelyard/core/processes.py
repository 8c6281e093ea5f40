"""Processes, told from later ones that have their number."""

from __future__ import annotations

from pathlib import Path


def began(pid: int) -> int | None:
    """When the process began, in ticks since the host did; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field, the program's name, may hold anything.
    return int(stat.rpartition(")")[2].split()[19])
