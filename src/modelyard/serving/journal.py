"""The usage journal's writer: one file per gateway process, one write per event-loop tick.

All requests that finish in the same tick share one `write`; their answers leave after it, so a
killed process loses nothing that it acknowledged. The page cache is flushed a while after a write,
or before the answers when the journal is set to wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

from modelyard.core.errors import Unavailable
from modelyard.core.events import PredictionMade
from modelyard.core.journal import frame
from modelyard.serving.journal_file import JournalFile
from modelyard.serving.ports import Recorded

_log = logging.getLogger(__name__)

ROTATE: Final = 64 << 20
"""Bytes after which a new file is begun, so that ingested ones can be dropped."""


class JournalWriter:
    """Appends events to files that no other process writes to.

    Lives on one event loop. `sync_ms` is how long what was written may wait for its sync; None
    makes every group of events wait for its own.
    """

    def __init__(self, folder: Path, sync_ms: int | None, *, rotate: int = ROTATE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._rotate = rotate
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._waiting: list[Recorded] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False
        self._file = JournalFile(folder)
        self._sync_seconds = None if sync_ms is None else sync_ms / 1000
        self._timer: asyncio.TimerHandle | None = None

    def append(self, event: PredictionMade, recorded: Recorded) -> None:
        """Record the event; `recorded` is called when it may be acknowledged.

        It gets None, or Unavailable when the event could not be written.
        """
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(frame(event))
        self._waiting.append(recorded)

    async def close(self) -> None:
        """Write and sync what is left, and let go of the file."""
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._end(self._file)

    def _flush(self) -> None:
        group, waiting = b"".join(self._pending), self._waiting
        self._pending, self._waiting = [], []
        if not group:
            return
        try:
            if self._file.broken or self._file.size >= self._rotate:
                self._begin_file()
            self._file.write(group)
        except OSError as error:
            self._fail(waiting, error)
            return
        if self._sync_seconds is None:
            self._spawn(self._sync_for(waiting, self._file))
            return
        if self._timer is None:
            self._timer = self._loop.call_later(self._sync_seconds, self._sync_soon)
        self._acknowledge(waiting)

    def _begin_file(self) -> None:
        try:
            fresh = JournalFile(self._folder)
        except OSError:
            if self._file.broken:
                raise
            # A file that is merely large still takes what comes.
            return
        self._spawn(self._end(self._file))
        self._file = fresh

    async def _sync_for(self, waiting: list[Recorded], file: JournalFile) -> None:
        try:
            await file.sync()
        except OSError as error:
            self._fail(waiting, error)
        else:
            self._acknowledge(waiting)

    def _sync_soon(self) -> None:
        self._timer = None
        self._spawn(self._sync(self._file))

    async def _sync(self, file: JournalFile) -> None:
        if not file.broken:
            try:
                await file.sync()
            except OSError:
                _log.exception("the usage journal cannot be synced")

    async def _end(self, file: JournalFile) -> None:
        try:
            await file.sync()
        except OSError:
            _log.exception("the usage journal cannot be synced")
        finally:
            file.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _acknowledge(self, waiting: list[Recorded]) -> None:
        self._failing = False
        for recorded in waiting:
            recorded(None)

    def _fail(self, waiting: list[Recorded], error: OSError) -> None:
        if not self._failing:
            _log.error("the usage journal cannot be written", exc_info=error)
        self._failing = True
        reason = f"usage cannot be recorded at the moment ({error.strerror})"
        for recorded in waiting:
            recorded(Unavailable(reason, retry_after=5))
