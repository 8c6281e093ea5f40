"""Scratch folders: where tasks work, and nothing that is meant to stay."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelyard.core.ids import uuid7

_LOCK_SUFFIX: Final = ".lock"

logger = logging.getLogger(__name__)


class ScratchRoot:
    """Makes folders below one root and removes them again.

    Beside each folder lies a file that its owner holds locked. The kernel drops the lock when the
    owner dies, which is how the folders of killed processes are told from those in use.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new, empty folder for this process alone; removed on leaving, whatever happened."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        while (lock := self._lock(self._root / f"{uuid7()}{_LOCK_SUFFIX}", make=True)) is None:
            pass  # a sweep took the file for a dead process's before it was locked
        path = lock[1].with_suffix("")
        try:
            path.mkdir(mode=0o700)
            yield path
        finally:
            _remove(path, *lock)

    def sweep(self) -> int:
        """Remove the folders of processes that are gone; return how many there were."""
        swept = 0
        for file in self._root.glob(f"*{_LOCK_SUFFIX}"):
            lock = self._lock(file, make=False)
            if lock is not None:
                _remove(file.with_suffix(""), *lock)
                swept += 1
        if swept:
            logger.info("removed scratch folders of dead processes", extra={"folders": swept})
        return swept

    def _lock(self, file: Path, *, make: bool) -> tuple[int, Path] | None:
        """Lock the file; None when another process holds it or has removed it meanwhile."""
        try:
            fd = os.open(file, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), file.stat()):
                return fd, file
        except (BlockingIOError, FileNotFoundError):
            os.close(fd)
            return None
        os.close(fd)
        return None


def _remove(path: Path, fd: int, file: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        logger.warning("a scratch folder could not be removed whole", extra={"folder": path.name})
    else:
        file.unlink(missing_ok=True)
    os.close(fd)
