"""Choosing: which algorithm is trained, with which parameters, or which of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from modelyard.core.tasks import Progress, Report
from modelyard.registry.card import Tuning
from modelyard.training.combination import (
    Combination,
    combination,
    fit_together,
    learned_again,
)
from modelyard.training.fitting import Fitted, fit
from modelyard.training.groundwork import Groundwork
from modelyard.training.progress import portion
from modelyard.training.reasons import choice, combined, failures, tuned, untunable
from modelyard.training.rows import Rows
from modelyard.training.search import Search, Searcher
from modelyard.training.selection import (
    Comparison,
    Crossed,
    Passage,
    best_first,
    compare,
    ranked,
    splits_of,
)
from modelyard.training.spec import AUTO, Ensembling, TrainSpec
from modelyard.training.trainers.algorithm import Algorithm
from modelyard.training.trainers.catalogue import ALGORITHMS
from modelyard.training.trial import Trial
from modelyard.training.trial_processes import TrialProcesses
from modelyard.training.tuning import Alone, Budget, tune
from modelyard.training.watch import Watch

_COMPARED: Final = 1 / 3
"""How far choosing has come when the best algorithm is known and is to be tuned."""


class Choice(msgspec.Struct, frozen=True):
    """What is to be trained: the algorithm, or the `combination` where that is better. `comparison`
    and `tuning` are how it was found, and `reasons` say it in sentences.
    """

    ground: Groundwork
    algorithm: Algorithm
    parameters: Mapping[str, Any]
    comparison: Comparison = Comparison()
    tuning: Tuning | None = None
    combination: Combination | None = None
    reasons: tuple[str, ...] = ()

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """All that have a part in it."""
        if self.combination is None:
            return (self.algorithm,)
        return tuple(one.algorithm for one in self.combination.crossed)

    @property
    def name(self) -> str:
        """Of the algorithm, or of how several are combined."""
        return self.combination.method if self.combination else self.algorithm.name

    def fit(self, rows: Rows, watch: Watch = Watch()) -> Fitted:  # noqa: B008 - frozen
        """Train it. Raises Invalid when it cannot learn from the rows."""
        problem, rules = self.ground.problem, self.ground.rules
        if self.combination is not None:
            return fit_together(self.combination, problem, rows, rules, watch)
        return fit(self.algorithm, problem, rows, rules.seed, self.parameters, watch)

    def refit(self, rows: Rows) -> Fitted:
        """Train the same on other rows, as if there were none but these."""
        if self.combination is None:
            return self.fit(rows)
        problem, rules = self.ground.problem, self.ground.rules
        again = learned_again(self.combination, problem, rows, rules)
        return fit_together(again, problem, rows, rules, Watch())


def choose(
    ground: Groundwork,
    spec: TrainSpec,
    past: tuple[Trial, ...],
    processes: TrialProcesses | None,
    report: Report,
) -> Choice:
    """Compare, tune and combine, as far as the specification wants it.

    `past` trials of a tuning that was interrupted are not run again; `processes` run the others,
    or else this process does.

    Raises:
        Invalid: no algorithm could be trained, or there is nothing to tune.
    """
    as_asked = f"the algorithm {spec.algorithm}, as asked"
    chosen = Choice(ground, ground.algorithms[0], ground.parameters, reasons=(as_asked,))
    share = _COMPARED if spec.trials else 1.0
    if spec.algorithm == AUTO:
        chosen = _compared(chosen, spec, portion(report, 0.0, share))
        report(Progress(chosen.reasons[0], share))
    if spec.trials and spec.algorithm == AUTO and not chosen.algorithm.space:
        chosen = msgspec.structs.replace(
            chosen, reasons=(*chosen.reasons, untunable(chosen.algorithm.name))
        )
    elif spec.trials:
        line = portion(report, _COMPARED, 1 - _COMPARED)
        chosen = _tuned(chosen, spec, past, processes, line)
    if spec.ensemble is not None:
        chosen = _combined(chosen, spec.ensemble, portion(report, 1.0, 0.0))
        report(Progress(chosen.reasons[-1], 1.0))
    return chosen


def _compared(chosen: Choice, spec: TrainSpec, report: Report) -> Choice:
    ground = chosen.ground
    keep = spec.ensemble_size if spec.ensemble else 0
    inside, rules = ground.held.inside, ground.rules
    comparison = compare(ground.algorithms, ground.problem, inside, rules, report, keep)
    algorithm = ALGORITHMS[comparison.best]
    return msgspec.structs.replace(
        chosen,
        comparison=comparison,
        algorithm=algorithm,
        reasons=(choice(comparison, rules), *failures(comparison)),
    )


def _tuned(
    chosen: Choice,
    spec: TrainSpec,
    past: tuple[Trial, ...],
    processes: TrialProcesses | None,
    report: Report,
) -> Choice:
    ground, algorithm = chosen.ground, chosen.algorithm
    search = Search(algorithm, ground.problem, ground.rules, ground.parameters)
    searcher = Searcher(search, ground.held.inside)
    budget = Budget(ground.rules.metric, spec.trials, spec.tune_seconds, past)
    if processes is not None:
        processes.algorithm = algorithm.name
    tuning = tune(budget, searcher, processes or Alone(searcher), report)
    return msgspec.structs.replace(
        chosen,
        tuning=tuning,
        parameters=tuning.parameters,
        reasons=(*chosen.reasons, tuned(tuning, ground.rules)),
    )


def _combined(chosen: Choice, method: Ensembling, report: Report) -> Choice:
    """The choice with the ensemble on its leaderboard, and in it if it is better."""
    ground, comparison = chosen.ground, chosen.comparison
    inside, rules = ground.held.inside, ground.rules
    crossed = _with_tuned(chosen, report)
    found = combination(method, crossed, ground.problem, inside, rules)
    best = chosen.tuning.score if chosen.tuning else comparison.leaderboard[0].score or 0.0
    better = found.better_than(best, rules.metric)
    board = ranked((*comparison.leaderboard, found.candidate), rules.metric)
    return msgspec.structs.replace(
        chosen,
        comparison=msgspec.structs.replace(comparison, leaderboard=board),
        combination=found if better else None,
        reasons=(*chosen.reasons, combined(found, chosen.algorithm.name, best, rules)),
    )


def _with_tuned(chosen: Choice, report: Report) -> tuple[Crossed, ...]:
    """The candidates that can be combined; the one that was tuned with its better parameters."""
    ground, crossed = chosen.ground, chosen.comparison.crossed
    if not (chosen.tuning and chosen.parameters):
        return crossed
    problem, rules = ground.problem, ground.rules
    passage = Passage(problem, splits_of(ground.held.inside, problem, rules), rules, heard=True)
    tuned = passage.run(chosen.algorithm, chosen.parameters, report)
    others = [one for one in crossed if one.algorithm is not chosen.algorithm]
    return best_first((tuned, *others), rules.metric) if tuned.said else tuple(others)
