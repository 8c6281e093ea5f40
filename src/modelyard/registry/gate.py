"""Quality gates: what a version must reach before an alias moves to it.

gate := METRIC (">=" | "<=" | ">" | "<") NUMBER      such as "accuracy >= 0.9"
      | "not worse than @" ALIAS                     by the metric that the version was chosen by
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.registry.card import Card

MAX_GATES: Final = 20
MAX_GATE: Final = 200
"""Characters."""
SMALLER_IS_BETTER: Final = frozenset({"rmse", "mae", "davies_bouldin"})
"""Metrics that measure an error."""

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_BOUND: Final = re.compile(r"([a-z][a-z0-9_]*)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
_RIVAL: Final = re.compile(r"not worse than @([a-z0-9][a-z0-9_.-]*)")


class Gate(msgspec.Struct, frozen=True):
    """One gate: a metric and its bound, or the alias whose version it must not be worse than."""

    text: str
    metric: str = ""
    comparison: str = ""
    bound: float = 0.0
    rival: str = ""

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Raises Invalid for anything but the two forms."""
        plain = " ".join(text[: MAX_GATE + 1].split())
        if found := _BOUND.fullmatch(plain):
            return cls(plain, found[1], found[2], float(found[3]))
        if found := _RIVAL.fullmatch(plain):
            return cls(plain, rival=found[1])
        raise Invalid(
            f"gate {text[:80]!r} is not understood; expected a metric and its bound, such as "
            "'accuracy >= 0.9', or 'not worse than @champion'"
        )

    def objection(self, card: Card, rival: Card | None) -> str:
        """Why the version does not pass; empty if it does.

        `rival` is the card of the version that the alias points at now, None if it points at none:
        then there is nothing to be worse than.
        """
        if not self.rival:
            value = card.metrics.get(self.metric)
            if value is None:
                measured = ", ".join(sorted(card.metrics)) or "none"
                return f"{self.metric} was not measured; there are: {measured}"
            if _COMPARISONS[self.comparison](value, self.bound):
                return ""
            return f"{self.metric} is {value:.4g}, which is not {self.comparison} {self.bound:g}"
        if rival is None:
            return ""
        mine, theirs = card.metrics.get(card.metric), rival.metrics.get(card.metric)
        if mine is None or theirs is None:
            return f"{card.metric or 'the metric'} was not measured of both"
        worse = mine > theirs if card.metric in SMALLER_IS_BETTER else mine < theirs
        return (
            f"{card.metric} is {mine:.4g}, that of @{self.rival} is {theirs:.4g}" if worse else ""
        )
