"""Which of llama.cpp's slots a generation goes to.

A slot keeps the prompt that it computed last, and the next one there begins where the two part.
That shows in the time it takes: so a prompt is built upon for the same tenant only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.serving.language.generation import Generation


class _Slot:
    """One of the engine's, by its number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tenant = ""
        self.text = ""
        self.used = 0
        self.busy = False


class Slots:
    """Give each generation a slot. At most `count` are taken at once."""

    def __init__(self, count: int) -> None:
        self._slots = [_Slot(number) for number in range(count)]
        self._lock = threading.Lock()
        self._free = threading.Semaphore(count)
        self._uses = 0

    @contextmanager
    def taken(self, asked: Generation) -> Iterator[tuple[int, bool]]:
        """A slot's number, and whether what it keeps may be built upon. Waits for a free one."""
        text = _text(asked)
        with self._free:
            with self._lock:
                slot = self._choose(asked.tenant, text)
                warm = bool(asked.tenant) and slot.tenant == asked.tenant
                slot.tenant, slot.text, slot.busy = asked.tenant, text, True
                self._uses += 1
                slot.used = self._uses
            try:
                yield slot.number, warm
            finally:
                slot.busy = False

    def _choose(self, tenant: str, text: str) -> _Slot:
        """The tenant's own with most of the text in it, or else the one least recently used."""
        free = [slot for slot in self._slots if not slot.busy]
        own = [slot for slot in free if tenant and slot.tenant == tenant]
        if own:
            best = max(own, key=lambda slot: common(slot.text, text))
            # Less than half is not worth that another prompt of the tenant is lost.
            if 2 * common(best.text, text) >= min(len(best.text), len(text)):
                return best
        return min(free, key=lambda slot: slot.used)


def _text(asked: Generation) -> str:
    if not asked.messages:
        return asked.prompt
    return "\0".join(f"{message.role.value}\0{message.content}" for message in asked.messages)


def common(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if other.startswith(one[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low
