"""When a version whose replicas end badly is tried again, and when it counts as failed."""

from __future__ import annotations

from typing import Final

FIRST_DELAY: Final = 0.1
RETRY_SECONDS: Final = 30.0
"""Until a version that has failed is tried again."""
HEALTHY_SECONDS: Final = 10.0
"""A replica that lived so long is no sign of a version that cannot be served."""
PROVEN_SECONDS: Final = 30.0
"""Nor is any, for so long after the version has answered a call."""
DEATHS: Final = 3
"""So many replicas in a row that came to nothing are a version that has failed."""


class Recovery:
    """Of one version. Times are seconds of the caller's clock."""

    def __init__(self) -> None:
        self._deaths = 0
        self.reason = ""
        """Why the version has failed; empty if it has not."""
        self.not_before = float("-inf")
        """When the next replica may be started."""

    def died(self, reason: str, now: float, *, healthy: bool) -> None:
        """A replica ended that should not have; `healthy` says whether it was of use before."""
        if healthy:
            self._deaths = 0
        self._deaths += 1
        if self._deaths >= DEATHS:
            self.failed(f"{self._deaths} replicas in a row came to nothing: {reason}", now)
        else:
            self.not_before = now + FIRST_DELAY * 2 ** (self._deaths - 1)

    def failed(self, reason: str, now: float) -> None:
        """It cannot be served, as it is."""
        self.reason = reason
        self.not_before = now + RETRY_SECONDS

    def loaded(self) -> None:
        """A replica of it is there. One more death before it is of use, and it has failed again."""
        self.reason = ""
