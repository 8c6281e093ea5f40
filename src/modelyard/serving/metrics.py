"""Counters and latency histograms that every gateway of a host adds to without a lock.

Each gateway owns one file of slots (`slots`), mapped into its memory, and one small JSON file
that says which of them belong to which deployment. Whoever answers `/metrics` reads all the files
of the folder and adds them up, so the answer is the same on every gateway. Files of gateways that
have died stay until the server starts again, so that counters never go back.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.processes import began
from modelyard.serving.slots import (
    BEGUN,
    CODE_SLOT,
    DURATION,
    FAILED,
    HITS,
    INFERENCE,
    MISSES,
    QUEUED,
    SIZE,
    WIDTH,
    RouteMetrics,
    Series,
)

_log = logging.getLogger(__name__)

_MAX_ROUTES: Final = 4096


class _Index(msgspec.Struct):
    """Whose slots these are: a process, told from later ones of its number by when it began, and
    the series of its rows.
    """

    pid: int
    started: int
    series: list[Series]

    @property
    def alive(self) -> bool:
        return began(self.pid) == self.started


class Metrics:
    """One gateway's file."""

    def __init__(self, folder: Path, gateway_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._index = folder / f"{gateway_id}.json"
        size = (_MAX_ROUTES + 1) * WIDTH * 8
        with (folder / f"{gateway_id}.slots").open("w+b") as file:
            # All of it now: a page that a full disk cannot give later kills the process.
            os.posix_fallocate(file.fileno(), 0, size)
            self._map = mmap.mmap(file.fileno(), size)
        self._slots = memoryview(self._map).cast("Q")
        self._content = _Index(os.getpid(), began(os.getpid()) or 0, [])

    def route(self, series: Series) -> RouteMetrics:
        """The row of this series, a new one if need be.

        What does not fit shares a row that nobody is shown.
        """
        known = self._content.series
        if series not in known and len(known) < _MAX_ROUTES:
            known.append(series)
            self._write_index()
        row = known.index(series) if series in known else _MAX_ROUTES
        return RouteMetrics(self._slots, row)

    def _write_index(self) -> None:
        fresh = self._index.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self._content))
            fresh.replace(self._index)
        except OSError:
            # A model is not kept from serving for this: the next series brings it along.
            _log.exception("the index of the metrics cannot be written")


class Counted(msgspec.Struct, frozen=True):
    """What one gateway has counted. Of one that has died, nothing but this is left."""

    gateway: str
    alive: bool
    resident: int
    rows: Sequence[tuple[Series, list[int]]]


def read_counted(folder: Path) -> Iterator[Counted]:
    """Each gateway's numbers, as they are at this moment."""
    for path in sorted(folder.glob("*.json")):
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
        with path.with_suffix(".slots").open("rb") as file:
            values = memoryview(file.read(len(index.series) * WIDTH * 8)).cast("Q")
        rows = [
            (series, values[row * WIDTH : (row + 1) * WIDTH].tolist())
            for row, series in enumerate(index.series)
        ]
        yield Counted(path.stem, index.alive, _resident(index), rows)


class Totals(msgspec.Struct, frozen=True):
    """What all gateways together have counted of one series. Times are in microseconds."""

    succeeded: int = 0
    failed: int = 0
    duration: int = 0
    queued: int = 0
    queue_duration: int = 0
    calls: int = 0
    inference_duration: int = 0
    rows: int = 0
    hits: int = 0
    misses: int = 0
    failed_duration: int = 0


def read_totals(folder: Path, tenant_id: str) -> dict[Series, Totals]:
    """All gateways' numbers of one tenant's deployments."""
    read: dict[Series, Totals] = {}
    for gateway in read_counted(folder):
        for series, row in gateway.rows:
            if series.tenant_id != tenant_id:
                continue
            before = msgspec.structs.astuple(read.get(series, Totals()))
            now = msgspec.structs.astuple(_totals(row))
            read[series] = Totals(*(a + b for a, b in zip(before, now, strict=True)))
    return read


def _totals(row: list[int]) -> Totals:
    answered = sum(row[:DURATION])
    succeeded = row[CODE_SLOT[200]]
    return Totals(
        succeeded=succeeded,
        failed=answered - succeeded,
        duration=row[QUEUED - 1],
        queued=sum(row[QUEUED : INFERENCE - 1]),
        queue_duration=row[INFERENCE - 1],
        calls=sum(row[INFERENCE : SIZE - 1]),
        inference_duration=row[SIZE - 1],
        rows=row[BEGUN - 1],
        hits=row[HITS],
        misses=row[MISSES],
        failed_duration=row[FAILED],
    )


def _resident(index: _Index) -> int:
    try:
        pages = Path(f"/proc/{index.pid}/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
