"""Allowances of one process."""

from __future__ import annotations

import threading

from modelyard.serving.limits.accounts import LockedAccounts, Seat, width
from modelyard.serving.limits.ports import OpenAccount

_SEAT = Seat(0, 1)


class MemoryAllowances:
    """The accounts of this process alone."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, int], memoryview[int]] = {}
        self._lock = threading.Lock()

    def of(self, tenant_id: str) -> LockedAccounts:
        """The accounts of one tenant."""
        return LockedAccounts(self._lock, _SEAT, self._cells)

    def close(self) -> None:
        """There is nothing to give back to anybody."""

    def _cells(self, which: OpenAccount) -> memoryview[int]:
        key = which.quota_id, which.since
        if key not in self._accounts:
            self._accounts[key] = memoryview(bytearray(8 * width(_SEAT.of))).cast("q")
            self._accounts[key][0] = which.opening
        return self._accounts[key]
