"""Rounds: what one process does again and again, while it holds a lease.

Several hosts may stand by with the same rounds; the database's lease lets one of them go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from modelyard.core.clock import Clock
from modelyard.core.stopping import StopFlag

_log = logging.getLogger(__name__)

TICK: Final = 0.05
LEASE_SECONDS: Final = 10
RENEW_SECONDS: Final = 2.0


class Round(msgspec.Struct, frozen=True):
    """One thing to do every `seconds`."""

    name: str
    seconds: float
    act: Callable[[], object]


class Rounds:
    """Runs each round when it is due. A round that fails is tried again at its next turn.

    `acquire` takes or renews the lease and says whether it is held; `release` gives it up.
    """

    def __init__(
        self,
        *,
        acquire: Callable[[], bool],
        release: Callable[[], None],
        rounds: Sequence[Round],
        clock: Clock,
    ) -> None:
        self._acquire = acquire
        self._release = release
        self._rounds = rounds
        self._clock = clock
        self._due = dict.fromkeys((each.name for each in rounds), float("-inf"))
        self._failing: set[str] = set()
        self._stop = StopFlag()

    def stop(self) -> None:
        """Ask `run` to return. Safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Go on until stopped."""
        holding, renew = False, float("-inf")
        while not self._stop.is_set():
            now = self._clock.monotonic()
            if now >= renew:
                holding = self._guarded("lease", self._acquire) is True
                renew = now + RENEW_SECONDS
            if holding:
                self._act(now)
            self._stop.wait(TICK)
        self._guarded("lease", self._release)
        self._stop.close()

    def _act(self, now: float) -> None:
        for each in self._rounds:
            if now >= self._due[each.name]:
                self._guarded(each.name, each.act)
                self._due[each.name] = self._clock.monotonic() + each.seconds

    def _guarded(self, name: str, act: Callable[[], object]) -> object:
        try:
            result = act()
        except Exception as error:  # noqa: BLE001 - the database may be away; the next turn comes
            if name not in self._failing:
                _log.warning("round failed", extra={"round": name, "error": str(error)})
            self._failing.add(name)
            return None
        if name in self._failing:
            self._failing.discard(name)
            _log.info("round works again", extra={"round": name})
        return result
