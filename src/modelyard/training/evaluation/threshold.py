"""From which probability on to act: the threshold of a classifier of two classes.

rule := "f1"                                 the best F1 of the second class
      | "precision >=" NUMBER                the most hits at such a precision
      | "recall >=" NUMBER                   the best precision at such a recall
      | "cost" NUMBER ":" NUMBER             the least cost of a false alarm and of a miss
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid
from modelyard.registry.evaluation import Threshold
from modelyard.training.dataset import Column
from modelyard.training.evaluation.details import cumulated
from modelyard.training.evaluation.prediction import Classified
from modelyard.training.problem import Problem
from modelyard.training.rows import Array
from modelyard.training.spec import TaskKind

MAX_RULE: Final = 64
"""Characters."""
_NUMBER: Final = r"(\d{1,9}(?:\.\d{1,9})?)"
_BOUND: Final = re.compile(rf"(precision|recall) ?>= ?{_NUMBER}")
_COST: Final = re.compile(rf"cost {_NUMBER} ?: ?{_NUMBER}")


class Rule(msgspec.Struct, frozen=True):
    """A rule by which a threshold is chosen: `kind` and its one or two numbers."""

    text: str
    kind: str
    first: float = 0.0
    second: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Raises Invalid for anything but the four forms."""
        plain = " ".join(text[: MAX_RULE + 1].split())
        if plain == "f1":
            return cls(plain, plain)
        if (found := _BOUND.fullmatch(plain)) and 0 < float(found[2]) <= 1:
            return cls(plain, found[1], float(found[2]))
        if (found := _COST.fullmatch(plain)) and float(found[1]) + float(found[2]) > 0:
            return cls(plain, "cost", float(found[1]), float(found[2]))
        raise Invalid(
            f"threshold {text[:80]!r} is not understood; expected 'f1', 'precision >= 0.9', "
            "'recall >= 0.9' (up to 1), or 'cost 1:5' for a false alarm and a miss"
        )

    def choose(self, scores: Array, positive: Array) -> float | None:
        """The threshold for these rows: a row at or above it is taken for positive.

        None when no threshold does what the rule asks for.
        """
        hits, alarms = cumulated(scores, positive)
        misses = positive.sum() - hits
        precision = hits / (hits + alarms)
        recall = hits / max(1, positive.sum())
        if self.kind == "cost":
            gain = -(self.first * alarms + self.second * misses)
        elif self.kind == "f1":
            gain = 2 * hits / (2 * hits + alarms + misses)
        elif self.kind == "precision":
            gain = np.where(precision >= self.first, recall, -np.inf)
        else:
            gain = np.where(recall >= self.first, precision, -np.inf)
        best = int(np.argmax(gain))
        if not np.isfinite(gain[best]):
            return None
        # Halfway to the next lower score, where new rows are the least likely to be.
        occurring = -np.unique(-scores)
        lower = occurring[best + 1] if best + 1 < len(occurring) else 0.0
        return float((occurring[best] + lower) / 2)


def check_threshold(text: str | None, problem: Problem, columns: Sequence[Column]) -> None:
    """Raises Invalid for a rule that is none, or a target that has not two classes."""
    if text is None:
        return
    rule = Rule.parse(text)
    classes = next((one.distinct for one in columns if one.name == problem.target), 0)
    if problem.task is not TaskKind.CLASSIFICATION or classes != 2:
        has = f"{problem.task}" + (f" of {classes} classes" if problem.task.supervised else "")
        raise Invalid(f"threshold '{rule.text}' is for a target of two classes; this is {has}")


def chosen(rule: Rule, validated: Classified, held_out: Classified) -> Threshold | None:
    """The threshold by rows that are neither trained on nor held out, measured on the latter.

    None when the model tells no probabilities of two classes, or no threshold does it.
    """
    if held_out.probabilities is None or validated.probabilities is None:
        return None
    if len(held_out.labels) != 2 or validated.labels != held_out.labels:
        return None
    value = rule.choose(validated.probabilities[:, 1], validated.truth == 1)
    if value is None:
        return None
    scores, positive = held_out.probabilities[:, 1], held_out.truth == 1
    return Threshold(
        label=held_out.labels[1],
        rule=rule.text,
        value=value,
        metrics=_at(value, scores, positive),
        before=_at(0.5, scores, positive),
    )


def _at(threshold: float, scores: Array, positive: Array) -> dict[str, float]:
    """Of the second class, and the accuracy of both."""
    said = scores >= threshold
    hits = int((said & positive).sum())
    alarms, misses = int((said & ~positive).sum()), int((~said & positive).sum())
    return {
        "precision": hits / max(1, hits + alarms),
        "recall": hits / max(1, hits + misses),
        "f1": 2 * hits / max(1, 2 * hits + alarms + misses),
        "accuracy": float((said == positive).mean()),
        "false_alarms": float(alarms),
        "misses": float(misses),
    }
