"""How sure a metric is: the percentile bootstrap (Efron 1979) over the held-out rows.

Rows are drawn with replacement, or whole groups where the rows come in groups, since rows of one
group err together. How often is settled by a bound on the work and never by the clock: the same
seed gives the same interval on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from modelyard.registry.evaluation import Interval
from modelyard.training.evaluation.metrics import BY_RANK, measure
from modelyard.training.evaluation.prediction import Classified, Predicted
from modelyard.training.rows import Array

DRAWS: Final = 1000
FEWEST: Final = 100
WORK: Final = 20_000_000
"""Rows times draws: a second or two."""
CELLS: Final = 1_000_000
"""Rows times draws that are weighed at once."""
LEVEL: Final = 0.95
MIN_ROWS: Final = 10
"""Rows, or groups of them, below which a bootstrap says nothing."""


def intervals(
    found: Predicted, names: tuple[str, ...], seed: int, groups: Array | None = None
) -> dict[str, Interval]:
    """Where each metric lies with a confidence of 95 %; none for what is seldom defined."""
    names = tuple(name for name in names if _affordable(name, found))
    drawn: dict[str, list[Array]] = {name: [] for name in names}
    for weights in draws(len(found), seed, groups, _labels(found)):
        for name, value in measure(found, weights, names).items():
            drawn[name].append(value)
    return _bounded(drawn)


def differences(
    mine: Predicted,
    theirs: Predicted,
    names: tuple[str, ...],
    seed: int,
    groups: Array | None = None,
) -> dict[str, Interval]:
    """Where my metric less theirs lies, both measured on the same draws of the same rows."""
    names = tuple(name for name in names if _affordable(name, mine))
    drawn: dict[str, list[Array]] = {name: [] for name in names}
    for weights in draws(len(mine), seed, groups, _labels(mine)):
        ours, others = measure(mine, weights, names), measure(theirs, weights, names)
        for name in names:
            drawn[name].append(ours[name] - others[name])
    return _bounded(drawn)


def draws(rows: int, seed: int, groups: Array | None = None, classes: int = 1) -> Iterator[Array]:
    """Weights [draws, rows]: how often each row was drawn. Nothing for too few rows."""
    units, members = rows, None
    if groups is not None:
        members = np.unique(groups, return_inverse=True)[1]
        units = int(members.max()) + 1
    if units < MIN_ROWS:
        return
    generator = np.random.default_rng(seed)
    left = min(DRAWS, max(FEWEST, WORK // (rows * classes)))
    while left:
        count = min(left, max(1, CELLS // rows))
        chosen = generator.integers(0, units, (count, units))
        chosen += units * np.arange(count)[:, None]
        weights = np.bincount(chosen.ravel(), minlength=count * units).reshape(count, units)
        yield weights.astype(np.float64) if members is None else weights[:, members] * 1.0
        left -= count


def _labels(found: Predicted) -> int:
    return len(found.labels) if isinstance(found, Classified) and len(found.labels) > 2 else 1


def _affordable(name: str, found: Predicted) -> bool:
    return name not in BY_RANK or len(found) * _labels(found) * FEWEST <= WORK


def _bounded(drawn: dict[str, list[Array]]) -> dict[str, Interval]:
    found = {}
    for name, parts in drawn.items():
        values = np.concatenate(parts) if parts else np.empty(0)
        defined = values[np.isfinite(values)]
        if len(defined) and 2 * len(defined) >= len(values):
            edges = (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2)
            low, high = np.percentile(defined, edges)
            found[name] = Interval(float(low), float(high))
    return found
