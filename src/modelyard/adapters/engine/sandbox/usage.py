"""What a sandboxed process uses, read from /proc and from its folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_BLOCK: Final = 512
# Fields of /proc/PID/stat behind the command's name: see proc_pid_stat(5), whose numbers are
# three higher.
_THREADS: Final = 17
_RESIDENT: Final = 21


class Live(NamedTuple):
    """Of all processes of a sandbox together."""

    processes: int
    threads: int
    resident_bytes: int


class Stored(NamedTuple):
    """What lies in a folder, and what was deleted there and is still open."""

    files: int
    size: int


def live(pids: list[int]) -> Live:
    """What these processes use; those that have ended count as nothing."""
    processes = threads = resident = 0
    for pid in pids:
        # Any name may stand in brackets, brackets as well.
        fields = _read(pid, "stat").rpartition(")")[2].split()
        if fields:
            processes += 1
            threads += int(fields[_THREADS])
            resident += int(fields[_RESIDENT]) * _PAGE
    return Live(processes, threads, resident)


def shared_fairly(pids: list[int]) -> int:
    """Their memory in bytes, where what several processes share is divided among them.

    Slower than `live`, whose sum counts it once for each.
    """
    total = 0
    for pid in pids:
        for line in _read(pid, "smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def stored(folder: Path, pids: list[int], most_files: int) -> Stored:
    """What the processes keep in `folder`; counting stops past `most_files`."""
    files = size = 0
    for entry in _entries(folder):
        files += 1
        if files > most_files:
            break
        with suppress(OSError):
            size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
    return Stored(files, size + sum(_deleted(pid, folder) for pid in pids))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _deleted(pid: int, folder: Path) -> int:
    size = 0
    with suppress(OSError):
        device = folder.stat().st_dev
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                file = descriptor.stat()
                if stat.S_ISREG(file.st_mode) and file.st_nlink == 0 and file.st_dev == device:
                    size += file.st_blocks * _BLOCK
    return size


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
