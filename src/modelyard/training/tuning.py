"""Tuning: a search for better parameters of one algorithm.

Points are chosen by the tree-structured Parzen estimator (Bergstra et al. 2011) and given up early
by Hyperband (Li et al. 2018), fold by fold. Each trial draws from a seed of its own and from the
trials before it alone, so a search that is taken up again goes on as if it had never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Tuning
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.training.evaluator import score
from modelyard.training.fitting import fit
from modelyard.training.problem import Problem
from modelyard.training.rows import Rows
from modelyard.training.selection import Rules, splits_of
from modelyard.training.trainers.algorithm import Algorithm, Axis
from modelyard.training.trial import Trial, TrialState

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Asked
    from optuna.trial import TrialState as State

_STARTUP: Final = 10
"""Trials at random before the estimator has something to estimate from."""
_NAME: Final = "tuning"
"""Hyperband draws its brackets from the study's name."""


class Search(msgspec.Struct, frozen=True):
    """What is searched: `fixed` parameters stay as they are; `past` trials are not run again."""

    algorithm: Algorithm
    problem: Problem
    rules: Rules
    fixed: Mapping[str, Any]
    trials: int
    seconds: float | None = None
    past: tuple[Trial, ...] = ()


def tune(search: Search, rows: Rows, report: Report) -> Tuning:
    """Run the trials; the first one is of the parameters as they are.

    Raises:
        Invalid: there is nothing to tune, or no trial could be carried through.
    """
    return _Tuner(search, rows, report).run()


class _Tuner:
    def __init__(self, search: Search, rows: Rows, report: Report) -> None:
        self._search = search
        self._splits = splits_of(rows, search.problem, search.rules)
        self._report = report
        self._axes = search.algorithm.axes(search.fixed)
        self._spaces = {name: _distribution(axis) for name, axis in self._axes.items()}
        self._study = self._new_study()
        self._trials: list[Trial] = []

    def run(self) -> Tuning:
        for trial in self._search.past:
            self._study.add_trial(self._recalled(trial))
            self._trials.append(trial)
        spent = sum(trial.seconds for trial in self._trials)
        began = time.monotonic()
        while len(self._trials) < self._search.trials:
            trial = self._try(len(self._trials))
            self._trials.append(trial)
            self._tell(trial)
            used = spent + time.monotonic() - began
            if self._search.seconds is not None and used >= self._search.seconds:
                break
        return self._found()

    def _try(self, number: int) -> Trial:
        """The next trial: the parameters as they are, then points that the sampler chooses."""
        if number == 0:
            trial = self._scored(number, {}, None)
            self._study.add_trial(self._recalled(trial))
            return trial
        from optuna.samplers import TPESampler

        seed = self._search.rules.seed + number
        self._study.sampler = TPESampler(seed=seed, n_startup_trials=_STARTUP)
        asked = self._study.ask(self._spaces)
        trial = self._scored(number, dict(asked.params), asked)
        value = trial.score if trial.state is TrialState.COMPLETE else None
        told = self._study.tell(asked, value, state=_states()[trial.state])
        return msgspec.structs.replace(trial, rungs=dict(told.system_attrs))

    def _scored(self, number: int, point: dict[str, float | int], asked: Asked | None) -> Trial:
        """The trial, fold by fold until it is done or not worth going on."""
        began, scores = time.monotonic(), list[float]()
        state, error = TrialState.COMPLETE, ""
        try:
            for fold, (inside, outside) in enumerate(self._splits, 1):
                scores.append(self._score(point, inside, outside))
                if asked is None or fold == len(self._splits):
                    continue
                asked.report(float(np.mean(scores)), fold)
                if asked.should_prune():
                    state = TrialState.PRUNED
                    break
        except Invalid as failure:
            state, error = TrialState.FAILED, failure.message
        seconds = round(time.monotonic() - began, 3)
        return Trial(number, state, point, tuple(scores), seconds, error)

    def _recalled(self, trial: Trial) -> FrozenTrial:
        """A trial that was not run in this study, as if it had been."""
        from optuna.trial import create_trial

        folds = range(1, min(len(trial.scores), len(self._splits) - 1) + 1)
        values = {fold: float(np.mean(trial.scores[:fold])) for fold in folds if trial.point}
        value = trial.score if trial.state is TrialState.COMPLETE else None
        if trial.state is TrialState.PRUNED:
            value = values[len(trial.scores)]
        return create_trial(
            state=_states()[trial.state],
            params=trial.point,
            distributions=self._spaces if trial.point else {},
            value=value,
            intermediate_values=values,
            system_attrs=dict(trial.rungs),
        )

    def _score(self, point: Mapping[str, float | int], inside: Rows, outside: Rows) -> float:
        search = self._search
        parameters = self._parameters(point)
        fitted = fit(search.algorithm, search.problem, inside, search.rules.seed, parameters)
        return score(search.rules.metric, search.problem.task, fitted.pipeline, outside)

    def _parameters(self, point: Mapping[str, float | int]) -> dict[str, Any]:
        """The parameters at a point of the space."""
        axes = self._axes
        sought = {
            name: axes[name].choices[int(value)] if axes[name].choices else value
            for name, value in point.items()
        }
        return {**sought, **self._search.fixed}

    def _new_study(self) -> Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        smaller = self._search.rules.metric in SMALLER_IS_BETTER
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=len(self._splits))
        return optuna.create_study(
            study_name=_NAME, direction="minimize" if smaller else "maximize", pruner=pruner
        )

    def _tell(self, trial: Trial) -> None:
        metric = self._search.rules.metric
        said = trial.error or f"{metric} {trial.score:.4f}"
        if trial.state is TrialState.PRUNED:
            said += f", given up after {len(trial.scores)} of {len(self._splits)} folds"
        self._report(
            Progress(
                f"trial {trial.trial + 1} of {self._search.trials}: {said}",
                (trial.trial + 1) / self._search.trials,
                msgspec.to_builtins(trial),
            )
        )

    def _found(self) -> Tuning:
        done = [trial for trial in self._trials if trial.state is TrialState.COMPLETE]
        if not done:
            raise Invalid(f"no trial could be carried through: {self._trials[0].error}")
        sign = 1 if self._search.rules.metric in SMALLER_IS_BETTER else -1
        best = min(done, key=lambda trial: (sign * trial.score, trial.trial))
        states = [trial.state for trial in self._trials]
        first = self._trials[0]
        return Tuning(
            trials=len(self._trials),
            best=best.trial,
            score=best.score,
            first=first.score if first.state is TrialState.COMPLETE else None,
            parameters=self._parameters(best.point),
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAILED),
            seconds=round(sum(trial.seconds for trial in self._trials), 3),
        )


def _states() -> Mapping[TrialState, State]:
    from optuna.trial import TrialState as State

    return {
        TrialState.COMPLETE: State.COMPLETE,
        TrialState.PRUNED: State.PRUNED,
        TrialState.FAILED: State.FAIL,
    }


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if axis.choices:
        places: Sequence[int] = range(len(axis.choices))
        return CategoricalDistribution(list(places))
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
