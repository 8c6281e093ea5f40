"""How many replicas a version should have, by what there is to do."""

from __future__ import annotations

import math
from typing import Final

from modelyard.adapters.engine.host.messages import ReplicaOptions

DOWN_SECONDS: Final = 30.0
"""How long there must have been less to do before a replica is given up."""


class Autoscaler:
    """Follows the load of one version: up at once, down late, to nothing only when idle."""

    def __init__(self) -> None:
        self._held = 0
        self._held_at = float("-inf")

    def demand(self, options: ReplicaOptions, load: int, now: float) -> int:
        """Replicas that the load asks for, or has asked for lately; 0 if there is nothing to do.

        `load` counts requests, running and waiting.
        """
        wanted = min(math.ceil(load / max(options.target_concurrency, 1)), options.maximum)
        if wanted >= self._held or now - self._held_at >= DOWN_SECONDS:
            self._held = wanted
            self._held_at = now
        return min(self._held, options.maximum)
