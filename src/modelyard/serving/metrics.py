"""Counters and latency histograms that every gateway of a host adds to without a lock.

Each gateway owns one file of unsigned 64-bit slots, mapped into its memory, and one small JSON
file that says which slots belong to which deployment. An observation is two or three integer
additions. Whoever answers `/metrics` reads all the files of the folder and adds them up, so the
answer is the same on every gateway. Files of gateways that have died stay until the server
starts again, so that counters never go back.
"""

from __future__ import annotations

import logging
import mmap
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

_log = logging.getLogger(__name__)

BUCKETS: Final = (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
"""Upper bounds of the histograms of time, in milliseconds."""

SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the histogram of batch sizes, in rows."""

CODES: Final = (200, 400, 401, 403, 404, 413, 415, 429, 499, 500, 503, 504)
"""The statuses that have a counter of their own; any other is counted as its class (`5xx`)."""

_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
_CODE_SLOT: Final = {code: slot for slot, code in enumerate(CODES)}
_BOUNDS_US: Final = [bound * 1000 for bound in BUCKETS]
_TIME_WIDTH: Final = len(BUCKETS) + 2
"""Slots of a histogram: a bucket for each bound, one for what is beyond, the sum."""

_DURATION: Final = len(CODES) + len(_CLASSES)
_QUEUED: Final = _DURATION + _TIME_WIDTH
_INFERENCE: Final = _QUEUED + _TIME_WIDTH
_SIZE: Final = _INFERENCE + _TIME_WIDTH
_BEGUN: Final = _SIZE + len(SIZES) + 2
_HITS: Final = _BEGUN + 1
_WIDTH: Final = _HITS + 1
_MAX_ROUTES: Final = 4096


class Series(msgspec.Struct, frozen=True):
    """Which deployment and version a row of slots belongs to."""

    tenant_id: str
    deployment: str
    model: str
    version: int


class RouteMetrics:
    """One deployment's row of slots."""

    __slots__ = ("_at", "_slots")

    def __init__(self, slots: memoryview[int], row: int) -> None:
        self._slots = slots
        self._at = row * _WIDTH

    def begin(self) -> None:
        """A request has come in."""
        self._slots[self._at + _BEGUN] += 1

    def observe(self, status: int, microseconds: int) -> None:
        """It has been answered."""
        slots, at = self._slots, self._at
        code = _CODE_SLOT.get(status)
        slots[at + (len(CODES) + status // 100 - 1 if code is None else code)] += 1
        slots[at + _DURATION + bisect_left(_BOUNDS_US, microseconds)] += 1
        slots[at + _DURATION + _TIME_WIDTH - 1] += microseconds

    def queued(self, microseconds: int) -> None:
        """It has waited so long for the model."""
        slots, at = self._slots, self._at + _QUEUED
        slots[at + bisect_left(_BOUNDS_US, microseconds)] += 1
        slots[at + _TIME_WIDTH - 1] += microseconds

    def ran(self, rows: int, microseconds: int) -> None:
        """The model has run once, for so many rows."""
        slots, at = self._slots, self._at
        slots[at + _INFERENCE + bisect_left(_BOUNDS_US, microseconds)] += 1
        slots[at + _INFERENCE + _TIME_WIDTH - 1] += microseconds
        slots[at + _SIZE + bisect_left(SIZES, rows)] += 1
        slots[at + _BEGUN - 1] += rows

    def hit(self) -> None:
        """The answer came from the cache."""
        self._slots[self._at + _HITS] += 1


class _Index(msgspec.Struct):
    """Whose slots these are: a process, told from later ones of its number by when it began, and
    the series of its rows.
    """

    pid: int
    started: int
    series: list[Series]

    @property
    def alive(self) -> bool:
        return _started(self.pid) == self.started


class Metrics:
    """One gateway's file."""

    def __init__(self, folder: Path, gateway_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._index = folder / f"{gateway_id}.json"
        size = (_MAX_ROUTES + 1) * _WIDTH * 8
        with (folder / f"{gateway_id}.slots").open("w+b") as file:
            # All of it now: a page that a full disk cannot give later kills the process.
            os.posix_fallocate(file.fileno(), 0, size)
            self._map = mmap.mmap(file.fileno(), size)
        self._slots = memoryview(self._map).cast("Q")
        self._content = _Index(os.getpid(), _started(os.getpid()) or 0, [])

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


def render(folder: Path, tenant_id: str | None) -> str:
    """All gateways' numbers in the Prometheus text format (version 0.0.4).

    Those of one tenant's deployments; or of all, and of the processes too.
    """
    totals: defaultdict[Series, list[int]] = defaultdict(lambda: [0] * _WIDTH)
    lines: list[str] = []
    for path in sorted(folder.glob("*.json")):
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
        alive = index.alive
        if alive and tenant_id is None:
            lines.append(
                _sample("process_resident_bytes", {"gateway": path.stem}, _resident(index))
            )
        for series, row in _rows(path.with_suffix(".slots"), index):
            if tenant_id not in (None, series.tenant_id):
                continue
            if not alive:
                # What a gateway had in its hands when it died is in nobody's now.
                row[_BEGUN] = sum(row[:_DURATION])
            totals[series] = [a + b for a, b in zip(totals[series], row, strict=True)]
    rows = sorted(totals.items(), key=lambda item: msgspec.structs.astuple(item[0]))
    for name, kind, about, samples in _FAMILIES:
        lines += _family(name, kind, about)
        for series, total in rows:
            lines += samples(name, series, total)
    if tenant_id is None:
        lines = [*_family(*_RESIDENT), *lines]
    return "\n".join(lines) + "\n"


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


def read_totals(folder: Path, tenant_id: str) -> dict[Series, Totals]:
    """All gateways' numbers of one tenant's deployments."""
    read: dict[Series, Totals] = {}
    for path in folder.glob("*.json"):
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
        for series, row in _rows(path.with_suffix(".slots"), index):
            if series.tenant_id != tenant_id:
                continue
            before = msgspec.structs.astuple(read.get(series, Totals()))
            now = msgspec.structs.astuple(_totals(row))
            read[series] = Totals(*(a + b for a, b in zip(before, now, strict=True)))
    return read


def _totals(row: list[int]) -> Totals:
    answered = sum(row[:_DURATION])
    succeeded = row[_CODE_SLOT[200]]
    return Totals(
        succeeded=succeeded,
        failed=answered - succeeded,
        duration=row[_QUEUED - 1],
        queued=sum(row[_QUEUED : _INFERENCE - 1]),
        queue_duration=row[_INFERENCE - 1],
        calls=sum(row[_INFERENCE : _SIZE - 1]),
        inference_duration=row[_SIZE - 1],
        rows=row[_BEGUN - 1],
        hits=row[_HITS],
    )


def _rows(slots: Path, index: _Index) -> Iterator[tuple[Series, list[int]]]:
    with slots.open("rb") as file:
        values = memoryview(file.read(len(index.series) * _WIDTH * 8)).cast("Q")
    for row, series in enumerate(index.series):
        yield series, values[row * _WIDTH : (row + 1) * _WIDTH].tolist()


def _started(pid: int) -> int | None:
    """When the process began, in ticks since the host did; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field, the program's name, may hold anything.
    return int(stat.rpartition(")")[2].split()[19])


def _resident(index: _Index) -> int:
    try:
        pages = Path(f"/proc/{index.pid}/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _family(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP modelyard_{name} {about}"
    yield f"# TYPE modelyard_{name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float | str) -> str:
    # Names are checked where they are given: nothing in them needs escaping.
    pairs = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"modelyard_{name}{{{pairs}}} {value}"


def _labels(series: Series) -> dict[str, str]:
    return {
        "tenant": series.tenant_id,
        "deployment": series.deployment,
        "model": series.model,
        "version": str(series.version),
    }


def _requests(name: str, series: Series, total: list[int]) -> Iterator[str]:
    codes = [str(code) for code in CODES] + list(_CLASSES)
    for code, value in zip(codes, total, strict=False):
        if value:
            yield _sample(name, {**_labels(series), "code": code}, value)


def _in_flight(name: str, series: Series, total: list[int]) -> Iterator[str]:
    # The slots are read while they are written to: an answer may be seen before its beginning.
    yield _sample(name, _labels(series), max(total[_BEGUN] - sum(total[:_DURATION]), 0))


def _hits(name: str, series: Series, total: list[int]) -> Iterator[str]:
    if total[_HITS]:
        yield _sample(name, _labels(series), total[_HITS])


def _histogram(
    name: str, series: Series, slots: list[int], bounds: Sequence[float], unit: float
) -> Iterator[str]:
    """`slots` as buckets and their sum; bounds and sum are in parts of `unit`."""
    labels, seen = _labels(series), 0
    for bound, value in zip([*bounds, None], slots, strict=False):
        seen += value
        le = "+Inf" if bound is None else f"{bound / unit:g}"
        yield _sample(f"{name}_bucket", {**labels, "le": le}, seen)
    total = slots[-1] if unit == 1 else f"{slots[-1] / 1e6:.6f}"
    yield _sample(f"{name}_sum", labels, total)
    yield _sample(f"{name}_count", labels, seen)


def _times(at: int) -> Callable[[str, Series, list[int]], Iterator[str]]:
    def samples(name: str, series: Series, total: list[int]) -> Iterator[str]:
        return _histogram(name, series, total[at : at + _TIME_WIDTH], BUCKETS, 1000)

    return samples


def _sizes(name: str, series: Series, total: list[int]) -> Iterator[str]:
    return _histogram(name, series, total[_SIZE:_BEGUN], SIZES, 1)


_RESIDENT: Final = ("process_resident_bytes", "gauge", "Memory that a gateway process holds.")
_FAMILIES: Final = (
    ("requests_total", "counter", "Inference requests answered, by HTTP status.", _requests),
    (
        "request_duration_seconds",
        "histogram",
        "Time from a request's head to its answer.",
        _times(_DURATION),
    ),
    (
        "queue_duration_seconds",
        "histogram",
        "Time that a request waited for the model.",
        _times(_QUEUED),
    ),
    (
        "inference_duration_seconds",
        "histogram",
        "Time of one call of the model.",
        _times(_INFERENCE),
    ),
    ("batch_rows", "histogram", "Rows in one call of the model.", _sizes),
    ("requests_in_flight", "gauge", "Requests that are being answered.", _in_flight),
    ("cache_hits_total", "counter", "Requests answered from the response cache.", _hits),
)
