"""How many replicas a version should have, by what there is to do."""

from __future__ import annotations

import math
from typing import Final

from modelyard.adapters.engine.host.messages import ReplicaOptions

DOWN_SECONDS: Final = 30.0
"""How long there must have been less to do before a replica is given up."""


def replicas_for(options: ReplicaOptions, load: int) -> int:
    """Replicas that so many requests, running and waiting, ask for; 0 if there are none."""
    return min(math.ceil(load / max(options.target_concurrency, 1)), options.maximum)


class Hold:
    """Remembers the most that was asked for lately, so that replicas do not come and go."""

    def __init__(self) -> None:
        self._held = 0
        self._held_at = float("-inf")

    def most(self, wanted: int, now: float) -> int:
        """The most that was wanted in the last `DOWN_SECONDS`, or about that."""
        if wanted >= self._held or now - self._held_at >= DOWN_SECONDS:
            self._held = wanted
            self._held_at = now
        return self._held
