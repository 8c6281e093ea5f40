"""A table that is too large for memory, read in parts.

What has to be looked at together (roles, medians, categories, the vocabulary of texts) is learned
from samples of bounded size. A row is in a sample, or held out, by a hash of its number and the
seed: the same rows whatever the parts are, and each as likely as any other (bottom-k sampling,
Cohen and Kaplan 2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report
from modelyard.training.rows import Array

if TYPE_CHECKING:
    import polars as pl

PART_CELLS: Final = 250_000
"""Of a part that is in memory: 2 MB of numbers."""
SAMPLE_CELLS: Final = 2_000_000
SAMPLE_ROWS: Final = 50_000
"""Of the training rows, to learn the preparation from."""
HELD_ROWS: Final = 20_000
"""Of the held-out rows, to measure on."""
_MIXED: Final = 4
"""Parts whose rows are mixed with each other before they are learned from."""
_HELD, _LEARNED = 1, 2
"""Rows are held out by one hash, and sampled by another."""


class Sampled(msgspec.Struct, frozen=True):
    """What one passage over the table found: samples of both sides, in the table's order, and how
    many rows each side has.
    """

    train: pl.DataFrame
    held_out: pl.DataFrame
    train_rows: int
    held_rows: int


class TableStream:
    """The Parquet file, of which `fraction` of the rows are held out."""

    def __init__(self, path: Path, seed: int, fraction: float) -> None:
        self._path = path
        self._seed = seed
        self._fraction = fraction

    def sample(self, report: Report) -> Sampled:
        """Samples of both sides, and how many rows there are."""
        train = held = None
        for parts in self._parts(report, "looking at the table"):
            for first, part in parts:
                number = np.arange(first, first + part.height, dtype=np.uint64)
                outside = self._outside(number)
                key = _uniform(number, self._seed, _LEARNED)
                train = train or _Bottom(min(SAMPLE_ROWS, SAMPLE_CELLS // part.width))
                held = held or _Bottom(min(HELD_ROWS, SAMPLE_CELLS // 2 // part.width))
                train.add(part, key, number, ~outside)
                held.add(part, key, number, outside)
        if train is None or held is None or not train.seen or not held.seen:
            raise Invalid("the table has too few rows to hold some of them out")
        return Sampled(train.frame(), held.frame(), train.seen, held.seen)

    def training(self, columns: Sequence[str], turn: int, report: Report) -> Iterator[pl.DataFrame]:
        """All training rows in parts, mixed anew each `turn`: row groups in another order, and the
        rows of neighbouring parts among each other.
        """
        import polars as pl

        dice = np.random.default_rng((self._seed, turn))
        for parts in self._parts(report, f"passage {turn + 1}", columns, dice):
            kept = []
            for first, part in parts:
                number = np.arange(first, first + part.height, dtype=np.uint64)
                kept.append(part.filter(pl.Series(~self._outside(number))))
            mixed = pl.concat(kept)
            order = dice.permutation(mixed.height)
            for start in range(0, mixed.height, max(1, -(-mixed.height // len(kept)))):
                yield mixed[order[start : start + -(-mixed.height // len(kept))]]

    def _outside(self, number: Array) -> Array:
        return np.asarray(_uniform(number, self._seed, _HELD) < self._fraction)

    def _parts(
        self,
        report: Report,
        doing: str,
        columns: Sequence[str] | None = None,
        dice: np.random.Generator | None = None,
    ) -> Iterator[list[tuple[int, pl.DataFrame]]]:
        """A few parts at a time, each with the number of its first row."""
        import polars as pl
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self._path, pre_buffer=False) as file:
            meta = file.metadata
            sizes = [meta.row_group(group).num_rows for group in range(meta.num_row_groups)]
            begins = np.cumsum([0, *sizes])
            groups = np.arange(len(sizes)) if dice is None else dice.permutation(len(sizes))
            width = len(columns) if columns else max(1, meta.num_columns)
            size = max(1000, PART_CELLS // width)
            some, done = list[tuple[int, pl.DataFrame]](), 0
            for group in groups:
                first = int(begins[group])
                for batch in file.iter_batches(
                    size, [int(group)], columns=columns, use_threads=False
                ):
                    some.append((first, pl.DataFrame(batch)))
                    first += batch.num_rows
                    done += batch.num_rows
                    if len(some) == _MIXED:
                        yield some
                        some = []
                        said = f"{doing}: {done} of {meta.num_rows} rows"
                        report(Progress(said, done / meta.num_rows))
            if some:
                yield some


class _Bottom:
    """The rows with the smallest keys of all that were seen."""

    def __init__(self, size: int) -> None:
        self._size = max(1, size)
        self._frames: list[Any] = []
        self._keys = np.empty(0)
        self._numbers = np.empty(0, np.uint64)
        self._bound = 1.0
        self.seen = 0

    def add(self, part: pl.DataFrame, keys: Array, numbers: Array, wanted: Array) -> None:
        """Those of the part's rows that are `wanted` are seen."""
        self.seen += int(wanted.sum())
        places = np.flatnonzero(wanted & (keys < self._bound))
        if not len(places):
            return
        self._frames.append(part[places])
        self._keys = np.concatenate([self._keys, keys[places]])
        self._numbers = np.concatenate([self._numbers, numbers[places]])
        if len(self._keys) > self._size * 3 // 2:
            # Not for each part: what is over the bound never comes in, so this is seldom.
            self._cut()

    def _cut(self) -> None:
        import polars as pl

        if len(self._keys) > self._size:
            kept = np.sort(np.argpartition(self._keys, self._size)[: self._size])
            self._frames = [pl.concat(self._frames)[kept]]
            self._keys, self._numbers = self._keys[kept], self._numbers[kept]
            self._bound = float(self._keys.max())

    def frame(self) -> pl.DataFrame:
        """The rows, in the table's order."""
        import polars as pl

        self._cut()
        frames: list[pl.DataFrame] = self._frames
        return pl.concat(frames)[np.argsort(self._numbers, kind="stable")]


def _uniform(number: Array, seed: int, purpose: int) -> Array:
    """A number from 0 to 1 for each row: SplitMix64 (Steele et al. 2014) of its own number."""
    golden = 0x9E3779B97F4A7C15
    start = ((seed << 8) + purpose) * golden % (1 << 64)
    with np.errstate(over="ignore"):
        mixed = (number + np.uint64(1)) * np.uint64(golden) + np.uint64(start)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53)
