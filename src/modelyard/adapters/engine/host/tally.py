"""Counts of replicas that came up and ended, for `/metrics`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from modelyard.adapters.engine.host.messages import ReplicaSpec
from modelyard.adapters.engine.host.replica import Cause, Replica
from modelyard.serving.replica.counts import HostCounts, ReplicaCounts, read_counts, write_counts
from modelyard.serving.slots import Series

_MOST_SERIES: Final = 4096

_log = logging.getLogger(__name__)


class Tally:
    """Goes on from what an earlier host has counted: counters do not go back."""

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder = folder
        self._budget = budget
        earlier = read_counts(folder)
        self._rows = {row.series: row for row in earlier.rows} if earlier is not None else {}
        self._wrong = False

    def started(self, replica: Replica, seconds: float) -> None:
        """It has come up, in so many seconds."""
        row = self._row(replica.spec)
        row.starts += 1
        row.start_seconds += seconds

    def ended(self, replica: Replica, cause: Cause) -> None:
        """It is gone."""
        row = self._row(replica.spec)
        row.ends[cause.value] = row.ends.get(cause.value, 0) + 1

    def write(self, replicas: Iterable[Replica]) -> None:
        """Tell what there is now."""
        for row in self._rows.values():
            row.states, row.memory_bytes = {}, 0
        for replica in replicas:
            row = self._row(replica.spec)
            row.states = dict(Counter(row.states) + Counter([replica.state.value]))
            row.memory_bytes += replica.charge
        try:
            write_counts(self._folder, HostCounts(self._budget, list(self._rows.values())))
            self._wrong = False
        except OSError:
            if not self._wrong:
                _log.exception("the counts of replicas cannot be written")
            self._wrong = True

    def _row(self, spec: ReplicaSpec) -> ReplicaCounts:
        series = Series(spec.tenant_id, spec.name, spec.model, spec.version)
        if series not in self._rows:
            if len(self._rows) >= _MOST_SERIES:
                # The one that was first will have been gone for long.
                del self._rows[next(iter(self._rows))]
            self._rows[series] = ReplicaCounts(series)
        return self._rows[series]
