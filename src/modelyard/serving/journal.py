"""The usage journal's writer: one file per gateway process, one write per event-loop tick.

All requests that finish in the same tick share one `write`; their answers leave after it, so a
killed process loses nothing that it acknowledged. The page cache is flushed on a timer, or
before the answers when the journal is set to wait for it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

from modelyard.core import ids
from modelyard.core.errors import Unavailable
from modelyard.core.events import PredictionMade
from modelyard.core.journal import SUFFIX, frame

_log = logging.getLogger(__name__)

ROTATE: Final = 64 << 20
"""Bytes after which a new file is begun, so that ingested ones can be dropped."""


class JournalWriter:
    """Appends events to a file that no other process writes to.

    Lives on one event loop. `sync_ms` is the time between two fsyncs; None makes every group of
    events wait for its own.
    """

    def __init__(self, folder: Path, sync_ms: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._sync_ms = sync_ms
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._syncing: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dirty = False
        self._file = -1
        self._size = 0
        self._open()
        self._timer = (
            self._loop.create_task(self._sync_every(sync_ms / 1000))
            if sync_ms is not None
            else None
        )

    def append(self, event: PredictionMade) -> Awaitable[None]:
        """Record the event; the awaitable is done when it may be acknowledged.

        Awaiting raises Unavailable when the event could not be written.
        """
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(frame(event))
        # A future each: whoever is cancelled while waiting takes no neighbour along.
        written = self._loop.create_future()
        self._waiting.append(written)
        return written

    async def close(self) -> None:
        """Write and sync what is left, and let go of the file."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._syncing is not None:
            await asyncio.wait([self._syncing])
        await self._loop.run_in_executor(None, os.fsync, self._file)
        os.close(self._file)

    def _flush(self) -> None:
        group, waiting = b"".join(self._pending), self._waiting
        self._pending, self._waiting = [], []
        if not group:
            return
        try:
            _write_all(self._file, group, self._size)
        except OSError as error:
            _log.exception("the usage journal cannot be written")
            _fail(waiting, error)
            return
        self._size += len(group)
        self._dirty = True
        if self._sync_ms is None:
            task = self._loop.create_task(self._sync_for(waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        _acknowledge(waiting)
        if self._size >= ROTATE:
            self._rotate()

    async def _sync_for(self, waiting: list[asyncio.Future[None]]) -> None:
        # One fsync at a time: groups that were written while one ran share the next.
        if self._syncing is not None:
            await asyncio.wait([self._syncing])
        try:
            await self._sync()
        except OSError as error:
            _log.exception("the usage journal cannot be synced")
            _fail(waiting, error)
        else:
            _acknowledge(waiting)
        if self._size >= ROTATE:
            self._rotate()

    async def _sync_every(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self._dirty:
                try:
                    await self._sync()
                except OSError:
                    _log.exception("the usage journal cannot be synced")

    async def _sync(self) -> None:
        if self._syncing is None:
            if not self._dirty:
                return
            self._dirty = False
            self._syncing = self._loop.run_in_executor(None, os.fdatasync, self._file)
            self._syncing.add_done_callback(self._synced)
        await asyncio.shield(self._syncing)

    def _synced(self, done: asyncio.Future[None]) -> None:
        self._syncing = None
        if not done.cancelled() and done.exception() is not None:
            self._dirty = True

    def _rotate(self) -> None:
        if self._syncing is not None:
            return
        os.fsync(self._file)
        os.close(self._file)
        self._open()

    def _open(self) -> None:
        path = self._folder / (ids.new_id(ids.JOURNAL) + SUFFIX)
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        # The lock tells the reader that the file still has a writer; it goes with the process.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._size = 0


def _write_all(file: int, data: bytes, size: int) -> None:
    """Write all of `data`, or leave the file as it was, `size` bytes long."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _acknowledge(waiting: list[asyncio.Future[None]]) -> None:
    for written in waiting:
        if not written.done():
            written.set_result(None)


def _fail(waiting: list[asyncio.Future[None]], error: OSError) -> None:
    for written in waiting:
        if not written.done():
            written.set_exception(
                Unavailable(
                    f"usage cannot be recorded at the moment ({error.strerror})", retry_after=5
                )
            )
