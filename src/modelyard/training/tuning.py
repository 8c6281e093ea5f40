"""Tuning: the order in which trials are run and told of, by one process or by several.

With several, a trial knows of all trials but the last few before it (`lag_of`), whichever of them
are done by then. So the same seed and the same number of processes find the same, however fast each
process is, and a search that is taken up again goes on as if it had never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Tuning
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.training.search import Searcher
from modelyard.training.trial import Trial, TrialState


class Crew(Protocol):
    """Who runs trials."""

    @property
    def size(self) -> int:
        """How many trials it runs at once."""
        ...

    def begin(self, number: int, known: Sequence[Trial]) -> None:
        """Begin a trial. At most `size` may be under way."""
        ...

    def wait(self) -> Trial:
        """The next trial that is done, in any order."""
        ...


class Alone:
    """This process, one trial after the other."""

    size = 1

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._next: tuple[int, Sequence[Trial]] | None = None

    def begin(self, number: int, known: Sequence[Trial]) -> None:
        self._next = number, known

    def wait(self) -> Trial:
        if self._next is None:
            raise RuntimeError("no trial has begun")
        number, known = self._next
        self._next = None
        return self._searcher.attempt(number, known)


class Budget(msgspec.Struct, frozen=True):
    """How long to search; `past` trials are not run again."""

    metric: str
    trials: int
    seconds: float | None = None
    past: tuple[Trial, ...] = ()


def tune(budget: Budget, searcher: Searcher, crew: Crew, report: Report) -> Tuning:
    """Run the trials.

    Raises:
        Invalid: no trial could be carried through.
    """
    return _Tuner(budget, searcher, crew, report).run()


def lag_of(size: int) -> int:
    """How many trials before it a trial does not know of.

    Twice as many as run at once, so that nobody waits for one that takes its time.
    """
    return 0 if size == 1 else 2 * size


class _Tuner:
    def __init__(self, budget: Budget, searcher: Searcher, crew: Crew, report: Report) -> None:
        self._budget = budget
        self._searcher = searcher
        self._crew = crew
        self._report = report
        self._trials = list(budget.past)
        self._lag = lag_of(crew.size)
        self._spent = sum(trial.seconds for trial in budget.past) / crew.size

    def run(self) -> Tuning:
        self._began = time.monotonic()
        begun, ahead = len(self._trials), dict[int, Trial]()
        while len(self._trials) < self._budget.trials:
            while self._may_begin(begun, begun - len(self._trials) - len(ahead)):
                self._crew.begin(begun, self._trials[: max(0, begun - self._lag)])
                begun += 1
            if begun == len(self._trials):
                break
            trial = self._crew.wait()
            ahead[trial.trial] = trial
            while (following := ahead.pop(len(self._trials), None)) is not None:
                self._trials.append(following)
                self._tell(following)
        return self._found()

    def _may_begin(self, number: int, running: int) -> bool:
        budget = self._budget
        if running == self._crew.size or number >= budget.trials:
            return False
        if number - self._lag > len(self._trials):
            return False
        used = self._spent + time.monotonic() - self._began
        return number == 0 or budget.seconds is None or used < budget.seconds

    def _tell(self, trial: Trial) -> None:
        metric, trials = self._budget.metric, self._budget.trials
        said = trial.error or f"{metric} {trial.score:.4f}"
        if trial.state is TrialState.PRUNED:
            said += f", given up after {len(trial.scores)} of {self._searcher.folds} folds"
        self._report(
            Progress(
                f"trial {trial.trial + 1} of {trials}: {said}",
                (trial.trial + 1) / trials,
                msgspec.to_builtins(trial),
            )
        )

    def _found(self) -> Tuning:
        done = [trial for trial in self._trials if trial.state is TrialState.COMPLETE]
        if not done:
            raise Invalid(f"no trial could be carried through: {self._trials[0].error}")
        sign = 1 if self._budget.metric in SMALLER_IS_BETTER else -1
        best = min(done, key=lambda trial: (sign * trial.score, trial.trial))
        states = [trial.state for trial in self._trials]
        first = self._trials[0]
        return Tuning(
            trials=len(self._trials),
            best=best.trial,
            score=best.score,
            first=first.score if first.state is TrialState.COMPLETE else None,
            parameters=self._searcher.parameters(best.point),
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAILED),
            seconds=round(sum(trial.seconds for trial in self._trials), 3),
        )
