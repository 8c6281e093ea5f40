"""One trial of a search for better parameters, and how trials are kept while a job is under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

TRIALS_FILE: Final = "trials.json"
"""The trials of an attempt that was killed, in the scratch folder of the next one."""


class TrialState(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


class Trial(msgspec.Struct, frozen=True):
    """One set of parameters, scored fold by fold as far as it went.

    `point` is where it lies in the search space, by axis: a number, or the place of a choice; it is
    empty for the trial of the parameters as they are. `rungs` is what the pruner notes of it, to
    compare later trials with.
    """

    trial: int
    state: TrialState
    point: dict[str, float | int]
    scores: tuple[float, ...]
    seconds: float
    error: str = ""
    rungs: dict[str, float] = {}

    @property
    def score(self) -> float:
        """The mean over the folds that were scored."""
        return float(np.mean(self.scores))


def past_trials(story: Iterable[Mapping[str, Any]]) -> tuple[Trial, ...]:
    """The trials that a job's story tells of, from its data, in order and without a gap.

    After a gap trials are run again: each one depends on those before it.
    """
    found: dict[int, Trial] = {}
    for data in story:
        if "trial" not in data:
            continue
        try:
            trial = msgspec.convert(dict(data), Trial)
        except msgspec.ValidationError:
            # Told by another release.
            continue
        found.setdefault(trial.trial, trial)
    kept: list[Trial] = []
    while len(kept) in found:
        kept.append(found[len(kept)])
    return tuple(kept)


def write_trials(trials: tuple[Trial, ...], scratch: Path) -> None:
    """Leave the trials for the task."""
    (scratch / TRIALS_FILE).write_bytes(msgspec.json.encode(trials))


def read_trials(scratch: Path) -> tuple[Trial, ...]:
    """What the parent has left; nothing on a first attempt."""
    path = scratch / TRIALS_FILE
    return msgspec.json.decode(path.read_bytes(), type=tuple[Trial, ...]) if path.exists() else ()
