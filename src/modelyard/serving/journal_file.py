"""One file of the usage journal, as its only writer holds it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from pathlib import Path

from modelyard.core import ids
from modelyard.core.journal import SUFFIX


class JournalFile:
    """A new file that no other process writes to. Lives on one event loop.

    `broken` files take no more: a write that was cut back, or a sync that failed, leaves in doubt
    what a reader has seen of them.
    """

    def __init__(self, folder: Path) -> None:
        name = ids.new_id(ids.JOURNAL)
        path = folder / f".{name}.new"
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            # The lock tells the reader that the file has a writer; it goes with the process. The
            # file gets its name once it is locked, so that the reader never finds it without.
            fcntl.flock(self._file, fcntl.LOCK_EX)
            path.rename(folder / f"{name}{SUFFIX}")
            _sync_folder(folder)
        except OSError:
            self.close()
            raise
        self.size = 0
        self.broken = False
        self._dirty = False
        self._syncing: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> None:
        """Append all of `data`, or nothing of it. Raises OSError."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            if len(rest) < len(data):
                self.broken = True
                os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)
        self._dirty = True

    async def sync(self) -> None:
        """Have everything on disk that was written before this call. Raises OSError.

        One fdatasync runs at a time: what is written during one shares the next.
        """
        if self._syncing is not None and self._dirty:
            await asyncio.wait([self._syncing])
        if self._syncing is None and self._dirty:
            self._dirty = False
            loop = asyncio.get_running_loop()
            self._syncing = loop.run_in_executor(None, os.fdatasync, self._file)
            self._syncing.add_done_callback(self._synced)
        if self._syncing is not None:
            await asyncio.shield(self._syncing)
        if self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def close(self) -> None:
        """Let go of the file and of its lock."""
        os.close(self._file)
        # Whatever gets this number next must never be written to.
        self._file = -1

    def _synced(self, done: asyncio.Future[None]) -> None:
        self._syncing = None
        if not done.cancelled() and done.exception() is not None:
            # The kernel tells of lost pages once, and forgets them: another try would lie.
            self.broken = True


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
