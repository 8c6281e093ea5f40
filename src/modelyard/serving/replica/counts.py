"""What the runtime host counts, in a file beside those of the gateways.

The host writes it anew every second; whoever answers `/metrics` reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from modelyard.serving.slots import Series

FILE: Final = "replicas.counts"


class ReplicaCounts(msgspec.Struct):
    """Of one version for one deployment: replicas by state and what they hold now; since the
    server's start how many came up, in what time altogether, and why they ended.
    """

    series: Series
    states: dict[str, int] = {}
    memory_bytes: int = 0
    starts: int = 0
    start_seconds: float = 0.0
    ends: dict[str, int] = {}


class HostCounts(msgspec.Struct):
    """Of the whole host."""

    budget_bytes: int
    rows: list[ReplicaCounts]


def write_counts(folder: Path, counts: HostCounts) -> None:
    """Put the counts in the place of the last ones.

    Raises:
        OSError: the disk is full.
    """
    fresh = folder / f"{FILE}.new"
    fresh.write_bytes(msgspec.json.encode(counts))
    fresh.replace(folder / FILE)


def read_counts(folder: Path) -> HostCounts | None:
    """The last counts; None if there is no host."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=HostCounts)
    except FileNotFoundError:
        return None
