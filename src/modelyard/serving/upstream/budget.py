"""How many requests may be tried again: a share of them all, so that trouble makes no storm."""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.2
MOST: Final = 10.0
FIRST: Final = 3.0


class RetryBudget:
    """Each request brings a fifth of a retry; a few are there from the start, and saved up."""

    def __init__(self) -> None:
        self._left = FIRST

    def asked(self) -> None:
        """There is one request more."""
        self._left = min(MOST, self._left + SHARE)

    def take(self) -> bool:
        """Whether one may be tried again."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
