"""Reasons: why a training did what was left to it, in sentences for people."""

from __future__ import annotations

import numpy as np

from modelyard.registry.card import Tuning
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.training.combination import Combination
from modelyard.training.evaluator import IMBALANCE
from modelyard.training.problem import Problem
from modelyard.training.rows import Rows
from modelyard.training.selection import Comparison, Rules
from modelyard.training.spec import TaskKind, TrainSpec


def premises(problem: Problem, spec: TrainSpec, rules: Rules, inside: Rows) -> tuple[str, ...]:
    """Why this task and this metric."""
    return (*problem.notes, _metric(problem, spec, rules, inside))


def choice(comparison: Comparison, rules: Rules) -> str:
    """Which candidate was taken, and how far ahead of the next one it is."""
    scored = [one for one in comparison.leaderboard if one.score is not None]
    best = scored[0]
    first = best.score or 0.0
    said = (
        f"{best.algorithm} has the best {rules.metric} of {len(scored)} algorithms in "
        f"cross-validation: {first:.4f} +/- {best.spread or 0.0:.4f}"
    )
    if len(scored) == 1:
        return said
    second = scored[1]
    said += f", before {second.algorithm} with {second.score:.4f}"
    if abs(first - (second.score or 0.0)) <= (best.spread or 0.0):
        said += ", which the folds' spread may account for"
    return said


def _metric(problem: Problem, spec: TrainSpec, rules: Rules, inside: Rows) -> str:
    better = "the smaller the better" if rules.metric in SMALLER_IS_BETTER else ""
    said = f"measured by {rules.metric}" + (f" ({better})" if better else "")
    if spec.metric is not None:
        return f"{said}, as asked"
    if problem.task is not TaskKind.CLASSIFICATION:
        return f"{said}, the usual one for {problem.task}"
    counts = np.unique(inside.target, return_counts=True)[1]
    most, least = int(counts.max()), int(counts.min())
    if rules.metric == "accuracy":
        return f"{said}, because the classes are about as frequent ({least} to {most} rows each)"
    return (
        f"{said}, because the classes differ more than {IMBALANCE:g} to 1 in size ({least} to "
        f"{most} rows each) and accuracy would look past the small ones"
    )


def failures(comparison: Comparison) -> tuple[str, ...]:
    """Which candidates could not be trained, and why."""
    return tuple(
        f"{one.algorithm} could not be trained: {one.error}"
        for one in comparison.leaderboard
        if one.score is None
    )


def tuned(tuning: Tuning, rules: Rules) -> str:
    """What tuning was worth."""
    said = f"{tuning.trials} trials of parameters: the best has a {rules.metric} of "
    said += f"{tuning.score:.4f} in cross-validation"
    if tuning.first is not None:
        said += f", the parameters as they are {tuning.first:.4f}"
    return said


def untunable(algorithm: str) -> str:
    """Why there were no trials, although some were asked for."""
    return f"no trials: {algorithm} has no parameter to tune"


def combined(found: Combination, alone: str, best: float, rules: Rules) -> str:
    """Whether several together are taken, against the one that is best alone, and why."""
    members = ", ".join(one.algorithm.name for one in found.crossed) or "none"
    done, metric = found.candidate, rules.metric
    if done.score is None:
        return f"{done.algorithm} of {members} was not possible: {done.error}"
    said = f"{done.algorithm} of {members}: {metric} {done.score:.4f} in cross-validation"
    if found.better_than(best, metric):
        return f"{said}, {alone} alone {best:.4f}: they answer together"
    return f"{said}, no better than {alone} alone with {best:.4f}: it stays alone"
