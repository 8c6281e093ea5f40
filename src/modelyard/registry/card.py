"""The model card: what a model is for, how well it does, and on what grounds."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.registry.evaluation import Interval


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One algorithm that was compared. `score` and `spread` are the mean and the standard
    deviation of the metric over the folds; `seconds` is the time it took.
    """

    algorithm: str
    score: float | None
    spread: float | None = None
    seconds: float = 0.0
    error: str = ""


class Tuning(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a search for better parameters has found.

    `score` is that of the best trial, `first` that of the parameters as they are without tuning,
    both the mean of the metric over the folds. `pruned` of the trials were given up early,
    `failed` could not be carried through.
    """

    trials: int
    best: int
    score: float
    first: float | None = None
    parameters: dict[str, Any] = {}
    pruned: int = 0
    failed: int = 0
    seconds: float = 0.0


class EnsembleMember(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate in an ensemble: its `parameters` as far as they were tuned, its score in
    cross-validation, and for numbers its `weight` in the head.
    """

    algorithm: str
    score: float
    parameters: dict[str, Any] = {}
    weight: float | None = None


class Ensemble(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model that is several is made of. The head of a `stacking` has learned from what the
    members said of `rows` rows in `folds` folds, each of those that it was not trained on.
    """

    method: str
    members: tuple[EnsembleMember, ...]
    folds: int
    rows: int


class Confusion(msgspec.Struct, frozen=True):
    """Counts by true class (rows) and predicted class (columns)."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Split(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the held-out rows were chosen: enough to choose them again.

    `method` is `ratio` (at random), `hash` (by the row's number, of a table in parts), `time` (the
    latest by `column`, from `boundary` on) or `group` (whole groups by `column`). `stratified` rows
    are chosen class by class.
    """

    method: str
    train_rows: int
    test_rows: int
    fraction: float
    seed: int | None = None
    column: str = ""
    stratified: bool = False
    boundary: str = ""
    train_groups: int = 0
    test_groups: int = 0


class EngineTrial(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an engine did with a language model when it was registered: seconds to load it, tokens
    a second of one answer `alone` and of several `together`. With an `error` it does not take it.
    """

    engine: str
    load_seconds: float = 0.0
    alone: float = 0.0
    together: float = 0.0
    error: str = ""


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """Kept with the version. `metrics` were measured on held-out rows that training never saw, and
    `intervals` are where they lie with a confidence of 95 %. `reasons` tell how the algorithm was
    chosen. `engines` are those that a language model was tried with, the fastest first.
    """

    task: str
    algorithm: str
    target: str = ""
    features: tuple[str, ...] = ()
    train_rows: int = 0
    test_rows: int = 0
    split: Split | None = None
    metric: str = ""
    metrics: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    confusion: Confusion | None = None
    leaderboard: tuple[Candidate, ...] = ()
    tuning: Tuning | None = None
    ensemble: Ensemble | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    description: str = ""
    engines: tuple[EngineTrial, ...] = ()
