"""What a gateway counts of the upstreams that it asks, in a file of its own beside its slots.

It is written anew at most once a second; whoever answers `/metrics` adds up those of all gateways.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from pathlib import Path
from typing import Final

import msgspec

from modelyard.serving.slots import BUCKETS
from modelyard.serving.upstream.failures import Kind

SUFFIX: Final = ".upstreams"
WRITE: Final = 1.0
ANSWERED: Final = "answered"
INVALID: Final = "invalid"
"""It has refused what the client had asked for."""

_SECONDS: Final = [bound / 1000 for bound in BUCKETS]
_log = logging.getLogger(__name__)


class UpstreamSeries(msgspec.Struct, frozen=True):
    """Whose numbers these are: `upstream` is the provider's name of the model."""

    tenant_id: str
    provider: str
    upstream: str


class UpstreamCounts(msgspec.Struct):
    """Attempts by how they ended, those that were not a request's first, and how long it took
    until the answers began: `slow` counts by bucket, with one for what is beyond.
    """

    series: UpstreamSeries
    ends: dict[str, int] = {}
    retries: int = 0
    seconds: float = 0.0
    slow: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS) + 1))

    def add(self, other: UpstreamCounts) -> None:
        """Add another gateway's."""
        for end, count in other.ends.items():
            self.ends[end] = self.ends.get(end, 0) + count
        self.retries += other.retries
        self.seconds += other.seconds
        self.slow = [a + b for a, b in zip(self.slow, other.slow, strict=True)]


class Meter:
    """Counts for one upstream."""

    def __init__(self, counts: UpstreamCounts, counters: UpstreamCounters) -> None:
        self._counts = counts
        self._counters = counters

    def answered(self, seconds: float) -> None:
        """An answer has begun."""
        self._counts.seconds += seconds
        self._counts.slow[bisect_left(_SECONDS, seconds)] += 1
        self._ended(ANSWERED)

    def failed(self, kind: Kind) -> None:
        """There is none, or not all of it."""
        self._ended(kind.value)

    def refused(self) -> None:
        """The request is at fault."""
        self._ended(INVALID)

    def again(self) -> None:
        """A request comes that another attempt was made at."""
        self._counts.retries += 1

    def _ended(self, how: str) -> None:
        self._counts.ends[how] = self._counts.ends.get(how, 0) + 1
        self._counters.changed()


class UpstreamCounters:
    """All counts of one gateway. Lives on one event loop, but for `of`."""

    def __init__(self, folder: Path, gateway_id: str) -> None:
        self._path = folder / f"{gateway_id}{SUFFIX}"
        self._counts: dict[UpstreamSeries, UpstreamCounts] = {}
        self._writing = False

    def of(self, series: UpstreamSeries) -> Meter:
        """Those of one upstream, as far as they have come."""
        return Meter(self._counts.setdefault(series, UpstreamCounts(series)), self)

    def changed(self) -> None:
        """Write soon."""
        if not self._writing:
            self._writing = True
            asyncio.get_running_loop().call_later(WRITE, self.write)

    def write(self) -> None:
        """Put the counts in the place of the last ones."""
        self._writing = False
        fresh = self._path.with_suffix(f"{SUFFIX}.new")
        try:
            fresh.write_bytes(msgspec.json.encode(list(self._counts.values())))
            fresh.replace(self._path)
        except OSError:
            _log.exception("the counts of upstreams cannot be written")


def read_upstreams(folder: Path) -> list[UpstreamCounts]:
    """What all gateways together have counted, in order."""
    totals: dict[UpstreamSeries, UpstreamCounts] = {}
    for path in folder.glob(f"*{SUFFIX}"):
        for each in msgspec.json.decode(path.read_bytes(), type=list[UpstreamCounts]):
            totals.setdefault(each.series, UpstreamCounts(each.series)).add(each)
    return sorted(totals.values(), key=lambda one: msgspec.structs.astuple(one.series))
