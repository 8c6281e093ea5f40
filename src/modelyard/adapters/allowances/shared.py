"""Allowances in memory that all gateways of a host share.

The server makes the file anew at each start, before its first gateway. What was used of a budget
until then comes from the database; minutes begin empty.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from modelyard.adapters.allowances.table import Table, key_of
from modelyard.core.errors import Unavailable
from modelyard.core.processes import began
from modelyard.serving.limits.accounts import LockedAccounts, Seat, abandon
from modelyard.serving.limits.ports import OpenAccount

SPARE_SEATS: Final = 4
"""Beside those of the gateways: a gateway may begin before it is seen that another has died."""


class SharedAllowances:
    """A process's way to the accounts. It has a seat until it is closed, or dies."""

    def __init__(self, path: Path) -> None:
        self._table = Table(path)
        with self._table.lock:
            self._seat = _sit_down(self._table)

    @staticmethod
    def make(path: Path, gateways: int) -> None:
        """Make the file for so many gateways, in place of an earlier server's."""
        Table.make(path, gateways * 2 + SPARE_SEATS)

    def of(self, tenant_id: str) -> LockedAccounts:
        """The accounts of one tenant."""
        return LockedAccounts(self._table.lock_of(tenant_id), self._seat, self._cells)

    def close(self) -> None:
        """Give up the seat, and what is held from it."""
        with self._table.lock:
            leave(self._table, self._seat.number)

    def _cells(self, which: OpenAccount) -> memoryview[int]:
        key, table = key_of(which.quota_id, which.since), self._table
        with table.lock:
            slot = table.find(key)
            if slot is None:
                slot = table.add(key, which.period, which.until, which.opening)
            return table.account(slot)


def reap(table: Table) -> int:
    """Give back what processes held that have died; how many there were. Under the table's lock."""
    dead = [number for number in range(table.seats) if _died(table, number)]
    for number in dead:
        leave(table, number)
    return len(dead)


def leave(table: Table, number: int) -> None:
    """Give back what is held from a seat, and free it. Under the table's lock."""
    for slot, _, period in table.taken():
        abandon(table.account(slot), period, Seat(number, table.seats))
    table.seat(number)[0] = 0


def _sit_down(table: Table) -> Seat:
    reap(table)
    for number in range(table.seats):
        seat = table.seat(number)
        if not seat[0]:
            seat[1] = began(os.getpid()) or 0
            seat[0] = os.getpid()
            return Seat(number, table.seats)
    raise Unavailable("there are more gateways than the allowances have room for")


def _died(table: Table, number: int) -> bool:
    pid, start = table.seat(number)
    return bool(pid) and began(pid) != start
