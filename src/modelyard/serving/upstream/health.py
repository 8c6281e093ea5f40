"""Whether a target is worth asking: it rests when it has failed too often, or has asked to."""

from __future__ import annotations

from typing import Final

TRIPS: Final = 5
"""Failures one after the other until it rests."""
FIRST_REST: Final = 5.0
MOST_REST: Final = 300.0
"""Seconds. Each rest that ends in a failure is followed by one of twice the length."""


class Health:
    """Of one target. After a rest one request tries it; the others wait for how that goes. Times
    are the event loop's.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._rest = FIRST_REST
        self._until = 0.0
        self._ill = False
        self._trying = False

    @property
    def ready_at(self) -> float:
        """When it may be asked again."""
        return self._until

    def is_ready(self, now: float) -> bool:
        """Whether it may be asked."""
        return now >= self._until and not (self._ill and self._trying)

    def asked(self) -> None:
        """It is being asked."""
        self._trying = self._ill

    def let_be(self) -> None:
        """Nobody waits for its answer any more: nothing is known of it."""
        self._trying = False

    def answered(self) -> None:
        """It is well."""
        self._failures, self._rest = 0, FIRST_REST
        self._ill = self._trying = False

    def failed(self, now: float) -> None:
        """It has failed once more."""
        self._failures += 1
        self._trying = False
        if self._ill or self._failures >= TRIPS:
            self._until = max(self._until, now + self._rest)
            self._rest = min(2 * self._rest, MOST_REST)
            self._ill = True

    def rest(self, until: float) -> None:
        """It has asked to be left alone until then."""
        self._trying = False
        self._until = max(self._until, until)
