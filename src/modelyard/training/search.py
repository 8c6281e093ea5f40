"""A search for better parameters of one algorithm, trial by trial.

Points are chosen by the tree-structured Parzen estimator (Bergstra et al. 2011) and given up early
by Hyperband (Li et al. 2018), fold by fold. A trial follows from its number and from the trials
that it knows of, and from nothing else: whoever runs it, and whenever, it comes out the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
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
"""Hyperband draws its brackets from the study's name and the trial's number."""


class Search(msgspec.Struct, frozen=True):
    """What is searched; `fixed` parameters stay as they are."""

    algorithm: Algorithm
    problem: Problem
    rules: Rules
    fixed: Mapping[str, Any]


class Searcher:
    """Runs the trials of a search on rows.

    Raises:
        Invalid: there is nothing to tune.
    """

    def __init__(self, search: Search, rows: Rows) -> None:
        self._search = search
        self._axes = search.algorithm.axes(search.fixed)
        self._spaces = {name: _distribution(axis) for name, axis in self._axes.items()}
        self._splits = splits_of(rows, search.problem, search.rules)

    @property
    def folds(self) -> int:
        """How many folds a trial has that is not given up."""
        return len(self._splits)

    def attempt(self, number: int, known: Sequence[Trial]) -> Trial:
        """Run trial `number`, which knows of the trials before it that are `known`, in order.

        The first one is of the parameters as they are.
        """
        if number == 0:
            return self._scored(number, {}, None)
        study = self._study(number, known)
        asked = study.ask(self._spaces)
        trial = self._scored(number, dict(asked.params), asked)
        value = trial.score if trial.state is TrialState.COMPLETE else None
        told = study.tell(asked, value, state=_states()[trial.state])
        return msgspec.structs.replace(trial, rungs=dict(told.system_attrs))

    def parameters(self, point: Mapping[str, float | int]) -> dict[str, Any]:
        """The parameters at a point of the space."""
        axes = self._axes
        sought = {
            name: axes[name].choices[int(value)] if axes[name].choices else value
            for name, value in point.items()
        }
        return {**sought, **self._search.fixed}

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

    def _score(self, point: Mapping[str, float | int], inside: Rows, outside: Rows) -> float:
        search = self._search
        parameters = self.parameters(point)
        fitted = fit(search.algorithm, search.problem, inside, search.rules.seed, parameters)
        return score(search.rules.metric, search.problem.task, fitted.pipeline, outside)

    def _study(self, number: int, known: Sequence[Trial]) -> Study:
        """A study in which the next trial is the one with this number."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        rules = self._search.rules
        smaller = rules.metric in SMALLER_IS_BETTER
        study = optuna.create_study(
            study_name=_NAME,
            direction="minimize" if smaller else "maximize",
            sampler=optuna.samplers.TPESampler(seed=rules.seed + number, n_startup_trials=_STARTUP),
            pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=self.folds),
        )
        for trial in known:
            study.add_trial(self._recalled(trial))
        for _ in range(len(known), number):
            # One that is not known of yet: it takes a number, and tells nothing.
            study.add_trial(optuna.trial.create_trial(state=_states()[TrialState.FAILED]))
        return study

    def _recalled(self, trial: Trial) -> FrozenTrial:
        """A trial that was not run in this study, as if it had been."""
        from optuna.trial import create_trial

        folds = range(1, min(len(trial.scores), self.folds - 1) + 1)
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
