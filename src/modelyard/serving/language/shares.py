"""Who may take one more of a number of places, so that whoever comes new finds one."""

from __future__ import annotations

from collections import Counter


class Shares:
    """`places` that one may hold who is alone, and `spare` ones beside for who comes then.

    Who holds some may take another while they are fewer than `places / spare` times those that are
    free. So each leaves a part of the room to others: several come to hold equally many, and the
    more there are, the fewer. These are the dynamic thresholds of Choudhury and Hahne, "Dynamic
    Queue Length Thresholds for Shared-Memory Packet Switches" (1998). Without spare ones the first
    to come takes all.
    """

    def __init__(self, places: int, spare: int) -> None:
        self._places = places
        self._spare = spare
        self._free = places + spare
        self._held: Counter[str] = Counter()

    def held(self, whose: str) -> int:
        """How many places are theirs."""
        return self._held[whose]

    def may_take(self, whose: str) -> bool:
        """Whether they may have one more."""
        return self._held[whose] * self._spare < self._places * self._free

    def take(self, whose: str) -> None:
        """One more is theirs."""
        self._free -= 1
        self._held[whose] += 1

    def give_back(self, whose: str) -> None:
        """One is free again."""
        self._free += 1
        self._held[whose] -= 1
        if not self._held[whose]:
            del self._held[whose]
