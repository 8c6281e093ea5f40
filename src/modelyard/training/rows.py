"""Rows to learn from: held out, sampled and folded, the same way for the same seed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelyard.training.spec import TaskKind

if TYPE_CHECKING:
    import polars as pl

Array = np.ndarray[Any, Any]


class Rows(msgspec.Struct, frozen=True):
    """Features and target of some rows."""

    features: pl.DataFrame
    target: Array

    def __len__(self) -> int:
        return len(self.target)

    def take(self, places: Array) -> Rows:
        """The rows at these positions."""
        return Rows(self.features[places], self.target[places])


def hold_out(rows: Rows, task: TaskKind, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """The rows to train on and the held-out ones; by class where every class reaches both."""
    from sklearn.model_selection import train_test_split

    classes = None
    if task is TaskKind.CLASSIFICATION:
        counts = np.unique(rows.target, return_counts=True)[1]
        held = int(np.ceil(len(rows) * fraction))
        if counts.min() >= 2 and held >= len(counts) <= len(rows) - held:
            classes = rows.target
    inside, outside = train_test_split(
        np.arange(len(rows)), test_size=fraction, random_state=seed, stratify=classes
    )
    return rows.take(np.sort(inside)), rows.take(np.sort(outside))


def folds(rows: Rows, task: TaskKind, count: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Training and validation rows of each fold of a cross-validation."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if task is not TaskKind.CLASSIFICATION:
        splitter = KFold(min(count, len(rows)), shuffle=True, random_state=seed)
    else:
        largest = int(np.unique(rows.target, return_counts=True)[1].max())
        splitter = StratifiedKFold(min(count, largest), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer rows than there are folds is no reason to stop.
        warnings.simplefilter("ignore")
        places = list(splitter.split(np.zeros(len(rows)), rows.target))
    for inside, outside in places:
        yield rows.take(inside), rows.take(outside)


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
