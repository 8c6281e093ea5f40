"""Rows to learn from, and a sample of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelyard.training.spec import TaskKind

if TYPE_CHECKING:
    import polars as pl

Array = np.ndarray[Any, Any]


class Rows(msgspec.Struct, frozen=True):
    """Features and target of some rows.

    `times` are what they are in order of, `groups` the numbers of the groups that they belong to;
    None where rows stand alone.
    """

    features: pl.DataFrame
    target: Array
    times: Array | None = None
    groups: Array | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, places: Array) -> Rows:
        """The rows at these positions."""
        return Rows(
            self.features[places],
            self.target[places],
            None if self.times is None else self.times[places],
            None if self.groups is None else self.groups[places],
        )


def sample(target: Array, size: int, task: TaskKind, seed: int) -> Array:
    """Positions of about `size` rows. Every class keeps its share, and two rows at the least."""
    generator = np.random.default_rng(seed)
    if task is not TaskKind.CLASSIFICATION:
        return np.sort(generator.choice(len(target), size, replace=False))
    _, codes = np.unique(target, return_inverse=True)
    chosen = []
    for places in np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]):
        count = min(len(places), max(2, round(size * len(places) / len(target))))
        chosen.append(generator.choice(places, count, replace=False))
    return np.sort(np.concatenate(chosen))
