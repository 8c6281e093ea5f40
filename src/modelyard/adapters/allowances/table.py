"""The file of allowances as it is mapped into each process.

    head    magic, number of seats, number of slots
    locks   one for the table itself, then those that tenants share
    seats   of each: process, and when that began
    slots   of each: key (two cells), state and period, end of the period; then its account's cells

All cells are signed numbers of 64 bits. A slot is found from the hash of its key, or after it:
what is free ends the search, what was freed does not.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelyard.adapters.allowances.mutex import SIZE, Mutex, make
from modelyard.core.errors import Unavailable
from modelyard.core.quotas import Period
from modelyard.serving.limits.accounts import width

MAGIC: Final = int.from_bytes(b"mdlyard1", "big")
SLOTS: Final = 16_384
"""For quotas, each in several periods; of a limit for each caller, one for each."""
LOCKS: Final = 256
_CELL: Final = 8
_HEAD: Final = 8
_SLOT_HEAD: Final = 4
_STATE, _UNTIL = 2, 3

FREE: Final = 0
FREED: Final = 1
_PERIODS: Final = {2 + number: period for number, period in enumerate(Period)}
_STATES: Final = {period: state for state, period in _PERIODS.items()}


class Table:
    """The file, mapped."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            self._map = mmap.mmap(file.fileno(), size)
        self.cells = memoryview(self._map).cast("q")
        magic, self.seats, self.slots = self.cells[:3]
        if magic != MAGIC:
            raise Unavailable("the file of allowances is not one: restart the server")
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._seats_at, self._slots_at = _places(self.seats)
        self._width = _SLOT_HEAD + width(self.seats)

    @staticmethod
    def make(path: Path, seats: int, slots: int = SLOTS) -> None:
        """Make the file anew, in place of one that may be there."""
        _, slots_at = _places(seats)
        size = (slots_at + slots * (_SLOT_HEAD + width(seats))) * _CELL
        fresh = path.with_suffix(".new")
        with fresh.open("w+b") as file:
            # All of it now: a page that a full disk cannot give later kills the process.
            os.posix_fallocate(file.fileno(), 0, size)
            mapped = mmap.mmap(file.fileno(), size)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        for number in range(LOCKS + 1):
            make(address + _HEAD * _CELL + number * SIZE)
        memoryview(mapped).cast("q")[:3] = memoryview(
            b"".join(each.to_bytes(_CELL, "little") for each in (MAGIC, seats, slots))
        ).cast("q")
        fresh.replace(path)

    @property
    def lock(self) -> Mutex:
        """The lock of seats and slots."""
        return self._mutex(0)

    def lock_of(self, tenant_id: str) -> Mutex:
        """The lock of a tenant's accounts; it may be another tenant's, too."""
        digest = hashlib.blake2b(tenant_id.encode(), digest_size=4).digest()
        return self._mutex(1 + int.from_bytes(digest, "little") % LOCKS)

    def seat(self, number: int) -> memoryview[int]:
        """The two cells of a seat."""
        at = self._seats_at + 2 * number
        return self.cells[at : at + 2]

    def find(self, key: tuple[int, int]) -> int | None:
        """The slot of the key."""
        for slot in self._probe(key):
            head = self._head(slot)
            if head[_STATE] == FREE:
                return None
            if head[_STATE] != FREED and (head[0], head[1]) == key:
                return slot
        return None

    def add(self, key: tuple[int, int], period: Period, until: int, before: int) -> int:
        """A slot for a key that has none, its first cell set. Raises Unavailable: none is free."""
        for slot in self._probe(key):
            head = self._head(slot)
            if head[_STATE] in (FREE, FREED):
                self.account(slot)[:] = self._zeros()
                self.account(slot)[0] = before
                head[0], head[1], head[_UNTIL] = *key, until
                head[_STATE] = _STATES[period]
                return slot
        raise Unavailable("there are too many quotas for this server", retry_after=60)

    def free(self, slot: int) -> None:
        """Let the slot be another's."""
        self._head(slot)[_STATE] = FREED

    def taken(self) -> Iterator[tuple[int, tuple[int, int], Period]]:
        """All slots that are in use: number, key, period."""
        for slot in range(self.slots):
            at = self._slots_at + slot * self._width
            period = _PERIODS.get(self.cells[at + _STATE])
            if period is not None:
                yield slot, (self.cells[at], self.cells[at + 1]), period

    def account(self, slot: int) -> memoryview[int]:
        """The account's cells."""
        at = self._slots_at + slot * self._width
        return self.cells[at + _SLOT_HEAD : at + self._width]

    def _head(self, slot: int) -> memoryview[int]:
        at = self._slots_at + slot * self._width
        return self.cells[at : at + _SLOT_HEAD]

    def _probe(self, key: tuple[int, int]) -> Iterator[int]:
        for step in range(self.slots):
            yield (key[0] + step) % self.slots

    def _zeros(self) -> memoryview[int]:
        return memoryview(bytes((self._width - _SLOT_HEAD) * _CELL)).cast("q")

    def _mutex(self, number: int) -> Mutex:
        return Mutex(self._address + _HEAD * _CELL + number * SIZE)


def key_of(quota_id: str, since: int) -> tuple[int, int]:
    """What the slot of a quota's period is found by."""
    digest = hashlib.blake2b(f"{quota_id} {since}".encode(), digest_size=16).digest()
    first, second = digest[:8], digest[8:]
    return (
        int.from_bytes(first, "little", signed=True),
        int.from_bytes(second, "little", signed=True),
    )


def _places(seats: int) -> tuple[int, int]:
    """The cells at which the seats and the slots begin."""
    seats_at = _HEAD + (LOCKS + 1) * SIZE // _CELL
    return seats_at, seats_at + 2 * seats
