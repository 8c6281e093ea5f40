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
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

_log = logging.getLogger(__name__)

BUCKETS: Final = (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
"""Upper bounds of the latency histogram, in milliseconds."""

CODES: Final = (200, 400, 401, 403, 404, 413, 415, 429, 499, 500, 503, 504)
"""The statuses that have a counter of their own; any other is counted as its class (`5xx`)."""

_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
_CODE_SLOT: Final = {code: slot for slot, code in enumerate(CODES)}
_HISTOGRAM: Final = len(CODES) + len(_CLASSES)
_SUM: Final = _HISTOGRAM + len(BUCKETS) + 1
_WIDTH: Final = _SUM + 1
_BOUNDS_US: Final = [bound * 1000 for bound in BUCKETS]
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

    def observe(self, status: int, microseconds: int) -> None:
        """Count one request."""
        slots, at = self._slots, self._at
        code = _CODE_SLOT.get(status)
        slots[at + (len(CODES) + status // 100 - 1 if code is None else code)] += 1
        slots[at + _HISTOGRAM + bisect_left(_BOUNDS_US, microseconds)] += 1
        slots[at + _SUM] += microseconds


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
        self._series: list[Series] = []

    def route(self, series: Series) -> RouteMetrics:
        """The row of this series, a new one if need be.

        What does not fit shares a row that nobody is shown.
        """
        if series not in self._series and len(self._series) < _MAX_ROUTES:
            self._series.append(series)
            self._write_index()
        row = self._series.index(series) if series in self._series else _MAX_ROUTES
        return RouteMetrics(self._slots, row)

    def _write_index(self) -> None:
        fresh = self._index.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self._series))
            fresh.replace(self._index)
        except OSError:
            # A model is not kept from serving for this: the next series brings it along.
            _log.exception("the index of the metrics cannot be written")


def render(folder: Path, tenant_id: str | None) -> str:
    """All gateways' numbers in the Prometheus text format (version 0.0.4).

    Those of one tenant's deployments, or of all.
    """
    totals: defaultdict[Series, list[int]] = defaultdict(lambda: [0] * _WIDTH)
    for series, row in _rows(folder):
        if tenant_id not in (None, series.tenant_id):
            continue
        total = totals[series]
        for slot, value in enumerate(row):
            total[slot] += value
    rows = sorted(totals.items(), key=lambda item: msgspec.structs.astuple(item[0]))
    lines = [
        "# HELP modelyard_requests_total Inference requests answered, by HTTP status.",
        "# TYPE modelyard_requests_total counter",
    ]
    for series, total in rows:
        lines += _counters(series, total)
    lines += [
        "# HELP modelyard_request_duration_seconds Time from a request's head to its answer.",
        "# TYPE modelyard_request_duration_seconds histogram",
    ]
    for series, total in rows:
        lines += _histogram(series, total)
    return "\n".join(lines) + "\n"


def _rows(folder: Path) -> Iterator[tuple[Series, list[int]]]:
    for index in folder.glob("*.json"):
        every = msgspec.json.decode(index.read_bytes(), type=list[Series])
        with index.with_suffix(".slots").open("rb") as file:
            slots = memoryview(file.read(len(every) * _WIDTH * 8)).cast("Q")
        for row, series in enumerate(every):
            yield series, slots[row * _WIDTH : (row + 1) * _WIDTH].tolist()


def _labels(series: Series, **more: str) -> str:
    # Names are checked where they are given: nothing in them needs escaping.
    pairs = {
        "tenant": series.tenant_id,
        "deployment": series.deployment,
        "model": series.model,
        "version": str(series.version),
        **more,
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in pairs.items()) + "}"


def _counters(series: Series, total: list[int]) -> Iterator[str]:
    names = [str(code) for code in CODES] + list(_CLASSES)
    for name, value in zip(names, total, strict=False):
        if value:
            yield f"modelyard_requests_total{_labels(series, code=name)} {value}"


def _histogram(series: Series, total: list[int]) -> Iterator[str]:
    name, seen = "modelyard_request_duration_seconds", 0
    for bound, value in zip([*BUCKETS, None], total[_HISTOGRAM:_SUM], strict=True):
        seen += value
        le = "+Inf" if bound is None else f"{bound / 1000:g}"
        yield f"{name}_bucket{_labels(series, le=le)} {seen}"
    yield f"{name}_sum{_labels(series)} {total[_SUM] / 1e6:.6f}"
    yield f"{name}_count{_labels(series)} {seen}"
