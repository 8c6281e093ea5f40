"""How the three kinds of quotas are counted, in cells that several processes share.

A cell is a signed 64-bit number that is read and written as a whole. Whoever lets a request in
holds the tenant's lock. Where a kind has a cell for each seat, only the process that has the seat
writes it, so that the end of a request needs no lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, NamedTuple

from modelyard.core.errors import Unavailable
from modelyard.core.quotas import Period
from modelyard.serving.limits.ports import Account, Claim, OpenAccount, Use

WINDOW: Final = 60
RING: Final = WINDOW + 1
"""Seconds that are counted: the present one, which is not over, and all that any window that ends
in it may reach."""

Lock = AbstractContextManager[Any]


class Seat(NamedTuple):
    """The place of a process among those that count together."""

    number: int
    of: int


def width(seats: int) -> int:
    """The cells of an account, whatever its kind."""
    return max(2 + RING, 1 + 2 * seats)


class Rate:
    """So much in any sixty seconds: a sliding window of whole seconds.

    Cells: the latest second, the sum, and a ring of seconds. The window reaches back up to a
    second further than sixty, never less. Seconds are of the monotonic clock.
    """

    def __init__(self, cells: memoryview[int], lock: Lock, since: int, until: int) -> None:
        self._cells = cells
        self._lock = lock
        self.since, self.until = since, until

    def fits(self, amount: int, limit: int, now: float) -> bool:
        cells = self._cells
        counted = cells[1] if now < cells[0] + 1 else self._sum(int(now))
        return counted + (amount or 1) <= limit

    def take(self, amount: int, now: float) -> None:
        cells = self._cells
        if now >= cells[0] + 1:
            self._advance(int(now))
        # A process that read the clock a little earlier counts in the second that is in force.
        cells[2 + cells[0] % RING] += amount
        cells[1] += amount

    def use(self, now: float) -> Use:
        return Use(self._sum(int(now)))

    def taken(self, now: float) -> int:
        cells = self._cells
        return cells[1] if now < cells[0] + 1 else self._sum(int(now))

    def resets(self, now: float) -> float:
        cells = self._cells
        left = cells[0] + RING - now if cells[1] else 0.0
        return left if left > 0 else 0.0

    def returns(self, amount: int, limit: int, now: float) -> float:
        second = int(now)
        excess = self._sum(second) + amount - limit
        if excess <= 0:
            return 0.0
        for passed in range(second - WINDOW, second + 1):
            excess -= self._counted(passed)
            if excess <= 0:
                return passed + RING - now
        return math.inf

    def settle(self, held: int, used: int, then: float) -> None:
        if used == held:
            return
        # Should the lock not be had, it stays counted until its minute is over.
        with suppress(Unavailable), self._lock:
            if used > held:
                self.take(used - held, then)
            else:
                self._give_back(held - used, int(then))

    def _give_back(self, amount: int, second: int) -> None:
        cells = self._cells
        if self._counted(second):
            at = 2 + second % RING
            amount = min(amount, cells[at])
            cells[at] -= amount
            cells[1] -= amount

    def _advance(self, second: int) -> None:
        cells = self._cells
        latest = cells[0]
        if second <= latest:
            return
        for passed in range(max(latest, second - RING) + 1, second + 1):
            at = 2 + passed % RING
            cells[1] -= cells[at]
            cells[at] = 0
        cells[0] = second

    def _sum(self, second: int) -> int:
        """What is in the window that ends in this second, whether or not it was moved there."""
        cells = self._cells
        latest = cells[0]
        if second <= latest:
            return cells[1]
        passed = range(max(latest, second - RING) + 1, second + 1)
        return cells[1] - sum(cells[2 + each % RING] for each in passed)

    def _counted(self, second: int) -> int:
        latest = self._cells[0]
        return self._cells[2 + second % RING] if latest - RING < second <= latest else 0


class Balance:
    """So much in a period, for good. Cells: what was used before, then of each seat what it has
    taken, then what it has settled of that.
    """

    def __init__(self, cells: memoryview[int], seat: Seat, since: int, until: int) -> None:
        self._cells = cells
        self._all_taken = cells[: 1 + seat.of]
        self._taken = 1 + seat.number
        self._settled = self._taken + seat.of
        self._all_settled = cells[1 + seat.of : 1 + 2 * seat.of]
        self.since, self.until = since, until

    def fits(self, amount: int, limit: int, now: float) -> bool:
        return sum(self._all_taken) + (amount or 1) <= limit

    def take(self, amount: int, now: float) -> None:
        self._cells[self._taken] += amount

    def use(self, now: float) -> Use:
        used = self._cells[0] + sum(self._all_settled)
        return Use(used, max(0, sum(self._all_taken) - used))

    def taken(self, now: float) -> int:
        return sum(self._all_taken)

    def resets(self, now: float) -> float:
        return math.inf

    def returns(self, amount: int, limit: int, now: float) -> float:
        return math.inf

    def settle(self, held: int, used: int, then: float) -> None:
        # In this order: should the process die in between, what it has settled is what counts.
        self._cells[self._settled] += used
        self._cells[self._taken] += used - held


class Presence:
    """So many at once. Cells: one that is not used, then how many each seat has."""

    def __init__(self, cells: memoryview[int], seat: Seat, since: int, until: int) -> None:
        self._cells = cells
        self._all = cells[1 : 1 + seat.of]
        self._mine = 1 + seat.number
        self.since, self.until = since, until

    def fits(self, amount: int, limit: int, now: float) -> bool:
        return sum(self._all) + (amount or 1) <= limit

    def take(self, amount: int, now: float) -> None:
        self._cells[self._mine] += amount

    def use(self, now: float) -> Use:
        return Use(0, sum(self._all))

    def taken(self, now: float) -> int:
        return sum(self._all)

    def resets(self, now: float) -> float:
        return self.returns(0, 0, now)

    def returns(self, amount: int, limit: int, now: float) -> float:
        # When another request ends, which is soon as a rule.
        return 1.0

    def settle(self, held: int, used: int, then: float) -> None:
        self._cells[self._mine] -= held


class LockedAccounts:
    """The accounts of one tenant, under one lock. `cells` finds those of an account."""

    def __init__(
        self, lock: Lock, seat: Seat, cells: Callable[[OpenAccount], memoryview[int]]
    ) -> None:
        self.lock = lock
        self._seat = seat
        self._cells = cells

    def open(self, which: OpenAccount) -> Account:
        cells, span = self._cells(which), (which.since, which.until)
        if which.period is Period.MINUTE:
            return Rate(cells, self.lock, *span)
        if which.period is Period.MOMENT:
            return Presence(cells, self._seat, *span)
        return Balance(cells, self._seat, *span)

    def reserve(self, claims: Sequence[Claim], now: float) -> Claim | None:
        with self.lock:
            for claim in claims:
                account, amount, limit = claim
                if not account.fits(amount, limit, now):
                    return claim
            for account, amount, _ in claims:
                if amount:
                    account.take(amount, now)
        return None


def correct(cells: memoryview[int], seats: int, seen: int, spent: int) -> bool:
    """Have a balance say what was really spent, if nothing has happened to it since `seen` was
    settled from all seats, and nothing is held. Under the lock.
    """
    settled = settled_in(cells, seats)
    if settled != seen or sum(cells[1 : 1 + seats]) != settled:
        return False
    cells[0] = spent - settled
    return True


def settled_in(cells: memoryview[int], seats: int) -> int:
    """What was settled of a balance from all seats."""
    return sum(cells[1 + seats : 1 + 2 * seats])


def abandon(cells: memoryview[int], period: Period, seat: Seat) -> None:
    """Give back what a process held that is no more. Doing it again changes nothing."""
    taken = 1 + seat.number
    if period is Period.MOMENT:
        cells[taken] = 0
    elif period is not Period.MINUTE:
        cells[taken] = cells[taken + seat.of]
