"""The calls that wait for a model, and whose turn it is: `Line` for one that answers one after the
other, `Turns` for an engine that answers many at once.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from queue import SimpleQueue
from typing import Final, Generic, Protocol, TypeVar

from modelyard.serving.language.generation import Asker
from modelyard.serving.language.shares import Shares

PROMPTS: Final = 2
"""Prompts of one tenant that are read at once: one that the engine computes, and one that is there
when it looks for the next."""


class Asked(Protocol):
    """A call."""

    @property
    def asker(self) -> Asker:
        """Who makes it."""
        ...


T = TypeVar("T")
A = TypeVar("A", bound=Asked)
K = TypeVar("K")
V = TypeVar("V")


class Calls(Protocol[T]):
    """Calls that wait. May be used from all threads."""

    def put(self, call: T) -> None:
        """It waits from now on."""
        ...

    def get(self) -> T:
        """The next one, once it is its turn."""
        ...

    def begun(self, call: T) -> None:
        """It is being answered."""
        ...

    def done(self, call: T) -> None:
        """It has been answered."""
        ...

    def leave(self, call: T) -> bool:
        """Let a call go that still waits; False for one that is let wait, or whose turn was."""
        ...


class Line(Generic[T]):
    """`Calls` in the order in which they came."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[T] = SimpleQueue()
        self.put = self._calls.put
        self.get = self._calls.get

    def begun(self, call: T) -> None:
        """Nobody waits for that."""

    def done(self, call: T) -> None:
        """Whoever has answered it gets the next."""

    def leave(self, call: T) -> bool:
        """It is let wait: its turn comes soon enough."""
        return False


class Turns(Generic[A]):
    """`Calls` of all gateways, in fair order.

    Of the tenants that may have one more of the engine's places (`Shares`), the one is next that
    has the fewest, and of its keys the one that has the fewest; of equals, whose last turn was the
    longest ago. What makes others wait who have a place are prompts, so not many of one tenant's
    are read at once.
    """

    def __init__(self, places: int, spare: int) -> None:
        self._shares = Shares(places, spare)
        self._held: Counter[Asker] = Counter()
        self._reading: Counter[str] = Counter()
        self._waiting: dict[str, dict[str, deque[A]]] = {}
        self._unread: set[A] = set()
        self._change = threading.Condition()

    def put(self, call: A) -> None:
        """It waits from now on."""
        with self._change:
            keys = self._waiting.setdefault(call.asker.tenant, {})
            keys.setdefault(call.asker.key, deque()).append(call)
            self._change.notify()

    def get(self) -> A:
        """The next call, once there is one and a place for it."""
        with self._change:
            while (call := self._take()) is None:
                self._change.wait()
            # What made room for one may have made room for more.
            self._change.notify()
            return call

    def begun(self, call: A) -> None:
        """Its prompt has been read."""
        with self._change:
            self._end_reading(call)
            self._change.notify()

    def done(self, call: A) -> None:
        """Its place is free."""
        with self._change:
            self._end_reading(call)
            self._shares.give_back(call.asker.tenant)
            _take_one(self._held, call.asker)
            self._change.notify()

    def leave(self, call: A) -> bool:
        """Let a call go that still waits; False for one whose turn has come."""
        with self._change:
            waiting = call in self._waiting.get(call.asker.tenant, {}).get(call.asker.key, ())
            if waiting:
                self._remove(call)
            return waiting

    def _take(self) -> A | None:
        tenants = [each for each in self._waiting if self._may_begin(each)]
        if not tenants:
            return None
        # The first of equals: who had a turn goes to the end of its row.
        tenant = min(tenants, key=self._shares.held)
        keys = self._waiting[tenant]
        asker = min((Asker(tenant, key) for key in keys), key=self._held.__getitem__)
        call = keys[asker.key][0]
        self._remove(call)
        _move_to_end(self._waiting, tenant)
        _move_to_end(keys, asker.key)
        self._shares.take(tenant)
        self._held[asker] += 1
        self._reading[tenant] += 1
        self._unread.add(call)
        return call

    def _may_begin(self, tenant: str) -> bool:
        return self._reading[tenant] < PROMPTS and self._shares.may_take(tenant)

    def _end_reading(self, call: A) -> None:
        if call in self._unread:
            self._unread.remove(call)
            _take_one(self._reading, call.asker.tenant)

    def _remove(self, call: A) -> None:
        tenant, key = call.asker.tenant, call.asker.key
        keys = self._waiting[tenant]
        keys[key].remove(call)
        if not keys[key]:
            del keys[key]
        if not keys:
            del self._waiting[tenant]


def _take_one(counter: Counter[K], name: K) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]


def _move_to_end(row: dict[str, V], name: str) -> None:
    if name in row:
        row[name] = row.pop(name)
