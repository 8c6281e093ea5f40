"""Appraisal: everything that is measured of a fitted model before it is registered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modelyard.core.errors import Invalid
from modelyard.registry.evaluation import Comparison, Importance, Slice, Threshold
from modelyard.training.evaluation.contest import Contest
from modelyard.training.evaluation.importance import importances
from modelyard.training.evaluation.prediction import Classified, ask
from modelyard.training.evaluation.rivals import read_rivals
from modelyard.training.evaluation.slices import slices
from modelyard.training.evaluation.threshold import Rule, chosen
from modelyard.training.evaluator import METRICS, Evaluated, evaluate
from modelyard.training.problem import Problem
from modelyard.training.rows import Rows
from modelyard.training.spec import TrainSpec
from modelyard.training.split import Held, hold_out

if TYPE_CHECKING:
    import polars as pl

Refit = Callable[[Rows], Any]
"""Fits the same algorithm with the same parameters to other rows: a pipeline."""


class Appraisal(msgspec.Struct, frozen=True):
    """What a model is measured on, and by. `table` holds the rows that were divided; the rivals,
    if there are any, are in the `folder`.
    """

    problem: Problem
    spec: TrainSpec
    held: Held
    table: pl.DataFrame
    metric: str
    folder: Path

    def appraise(self, pipeline: Any, refit: Refit) -> tuple[Evaluated, tuple[str, ...]]:
        """The evaluation, and warnings about what could not be measured."""
        task, outside = self.problem.task, self.held.outside
        evaluated = evaluate(task, pipeline, outside, self.spec.seed)
        if evaluated.found is None:
            return evaluated, ()
        threshold, notes = self._threshold(evaluated, refit)
        details = msgspec.structs.replace(
            evaluated.details,
            slices=self._slices(evaluated),
            threshold=threshold,
            importance=self._importances(pipeline),
            comparisons=self._comparisons(evaluated),
        )
        return msgspec.structs.replace(evaluated, details=details), notes

    def _importances(self, pipeline: Any) -> tuple[Importance, ...]:
        if self.problem.picture is not None or self.problem.embedded:
            # It is all that there is, and stands in two columns: as it came, and what is learned.
            return ()
        outside, metric = self.held.outside, self.metric
        return importances(pipeline, outside, self.problem.task, metric, self.spec.seed)

    def _comparisons(self, evaluated: Evaluated) -> tuple[Comparison, ...]:
        rivals = read_rivals(self.folder)
        if evaluated.found is None or not rivals:
            return ()
        contest = Contest(
            problem=self.problem,
            metric=self.metric,
            found=evaluated.found,
            outside=self.held.outside,
            held_out=self._held_out,
            split=self.held.split,
            seed=self.spec.seed,
            folder=self.folder,
        )
        return tuple(contest.compare(rival) for rival in rivals)

    @property
    def _held_out(self) -> pl.DataFrame:
        return self.table[self.held.places]

    def _slices(self, evaluated: Evaluated) -> tuple[Slice, ...]:
        if evaluated.found is None or not self.spec.slices:
            return ()
        columns = self._held_out.select(list(dict.fromkeys(self.spec.slices)))
        names = METRICS[self.problem.task]
        return slices(evaluated.found, columns, names, self.metric, self.spec.seed)

    def _threshold(
        self, evaluated: Evaluated, refit: Refit
    ) -> tuple[Threshold | None, tuple[str, ...]]:
        """Chosen by a model of the same kind on rows that neither is trained on."""
        if self.spec.threshold is None:
            return None, ()
        rule, found, task = Rule.parse(self.spec.threshold), evaluated.found, self.problem.task
        reason = "the model gives no probabilities of two classes, or none reaches it"
        try:
            inner = hold_out(self.held.inside, task, self.held.division)
            validated = ask(refit(inner.inside), inner.outside, task)
        except Invalid as error:
            reason, validated = error.message, None
        threshold = None
        if isinstance(found, Classified) and isinstance(validated, Classified):
            threshold = chosen(rule, validated, found)
        notes = () if threshold else (f"no threshold was chosen by '{rule.text}': {reason}",)
        return threshold, notes
