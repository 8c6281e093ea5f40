"""Quality gates: what a version must reach before an alias moves to it.

gate := METRIC (">=" | "<=" | ">" | "<") NUMBER      such as "accuracy >= 0.9"
      | "not worse than @" ALIAS [MARGIN]            by the metric that the version was chosen by
MARGIN := "by more than" NUMBER                      such as "by more than 0.01"

Two versions are compared on the same held-out rows. Where that cannot be, because the other one is
not served as a graph or takes columns that there are no more, it is by what their cards say.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.registry.card import Card
from modelyard.registry.evaluation import Comparison

MAX_GATES: Final = 20
MAX_GATE: Final = 200
"""Characters."""
SMALLER_IS_BETTER: Final = frozenset(
    {"rmse", "mae", "median_ae", "mape", "log_loss", "brier", "ece", "davies_bouldin"}
)
"""Metrics that measure an error."""

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_BOUND: Final = re.compile(r"([a-z][a-z0-9_]*)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
_RIVAL: Final = re.compile(
    r"not worse than @([a-z0-9][a-z0-9_.-]*)(?: by more than (\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))?"
)


class Gate(msgspec.Struct, frozen=True):
    """One gate: a metric and its bound, or the alias whose version it must not be worse than, by
    more than a bound.
    """

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
            return cls(plain, bound=float(found[2] or 0), rival=found[1])
        raise Invalid(
            f"gate {text[:80]!r} is not understood; expected a metric and its bound, such as "
            "'accuracy >= 0.9', or 'not worse than @champion'"
        )

    def objection(self, card: Card, rival: Card | None, compared: Comparison | None = None) -> str:
        """Why the version does not pass; empty if it does.

        `rival` is the card of the version that the alias points at now, None if it points at none:
        then there is nothing to be worse than. `compared` is how the two did on the same rows.
        """
        if not self.rival:
            return self._misses(card)
        if rival is None:
            return ""
        if compared is not None and not compared.reason:
            return self._is_behind(compared)
        mine, theirs = card.metrics.get(card.metric), rival.metrics.get(card.metric)
        if mine is None or theirs is None:
            return f"{card.metric or 'the metric'} was not measured of both"
        if not self._worse(card.metric, mine - theirs):
            return ""
        why = f" ({compared.reason})" if compared is not None else ""
        return (
            f"{card.metric} is {mine:.4g}, that of @{self.rival} is {theirs:.4g}, each on held-out "
            f"rows of its own{why}"
        )

    def _misses(self, card: Card) -> str:
        value = card.metrics.get(self.metric)
        if value is None:
            measured = ", ".join(sorted(card.metrics)) or "none"
            return f"{self.metric} was not measured; there are: {measured}"
        if _COMPARISONS[self.comparison](value, self.bound):
            return ""
        return f"{self.metric} is {value:.4g}, which is not {self.comparison} {self.bound:g}"

    def _is_behind(self, compared: Comparison) -> str:
        if not self._worse(compared.metric, compared.difference):
            return ""
        said = (
            f"{compared.metric} is {compared.mine:.4g}, that of @{self.rival} on the same "
            f"{compared.rows} rows is {compared.theirs:.4g}"
        )
        if compared.interval is not None:
            low, high = compared.interval.low, compared.interval.high
            said += f"; the difference lies between {low:.2g} and {high:.2g}"
        return said

    def _worse(self, metric: str, difference: float) -> bool:
        """Whether what is ours less what is theirs is worse by more than the bound."""
        behind = difference if metric in SMALLER_IS_BETTER else -difference
        # Not for the last digits of a sum.
        return behind > self.bound + 1e-9 * abs(self.bound)
