"""Which threshold a rule chooses."""

import numpy as np
import pytest

from modelyard.core.errors import Invalid
from modelyard.training.dataset import Column, ColumnType
from modelyard.training.evaluation.prediction import Classified, classified
from modelyard.training.evaluation.threshold import Rule, check_threshold, chosen
from modelyard.training.problem import Problem
from modelyard.training.spec import TaskKind

SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
POSITIVE = np.array([False, False, True, False, True, True])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # 3 of 3 hits with one false alarm: F1 6/7 beats 2 hits without (4/5).
        ("f1", 0.25),
        ("precision >= 0.9", 0.5),
        ("precision>=0.7", 0.25),
        ("recall >= 1", 0.25),
        ("recall >= 0.5", 0.5),
        # A miss costs as a false alarm does; the sure ones win by being first.
        ("cost 1:1", 0.5),
        ("cost 1:5", 0.25),
        ("cost 5:1", 0.5),
    ],
)
def test_a_rule_chooses(rule: str, expected: float) -> None:
    assert Rule.parse(rule).choose(SCORES, POSITIVE) == pytest.approx(expected)


def test_what_nothing_reaches_is_not_chosen() -> None:
    assert Rule.parse("precision >= 0.9").choose(SCORES, ~POSITIVE) is None


@pytest.mark.parametrize(
    "text",
    ["", "F1", "f2", "precision >= 1.1", "precision > 0.9", "recall >= 0", "cost 0:0", "x" * 999],
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(Invalid, match=r"is not understood; expected 'f1', 'precision >= 0\.9'"):
        Rule.parse(text)


def of(scores: list[float], truth: list[int], labels: tuple[int, ...] = (0, 1)) -> Classified:
    likely = np.stack([1 - np.array(scores), np.array(scores)], axis=1)
    classes = np.array(labels)
    return classified(np.array(truth), classes[likely.argmax(axis=1)], classes, likely)


def test_a_threshold_is_measured_on_rows_that_did_not_choose_it() -> None:
    validated = of([0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1])
    held_out = of([0.26, 0.24, 0.6, 0.7], [0, 1, 1, 1])
    found = chosen(Rule.parse("f1"), validated, held_out)
    assert found is not None
    assert (found.label, found.rule) == ("1", "f1")
    assert found.value == pytest.approx(0.25)
    assert found.metrics == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "accuracy": 0.5,
        "false_alarms": 1.0,
        "misses": 1.0,
    }
    assert found.before["precision"] == 1.0
    assert chosen(Rule.parse("f1"), validated, of([0.5], [1], (1, 2))) is None


def test_a_threshold_is_for_two_classes() -> None:
    def problem(task: TaskKind) -> Problem:
        return Problem(task, "y", ColumnType.INTEGER, {})

    columns = [Column("y", ColumnType.INTEGER, missing=0, distinct=3)]
    check_threshold(None, problem(TaskKind.REGRESSION), columns)
    with pytest.raises(Invalid, match="this is classification of 3 classes"):
        check_threshold("f1", problem(TaskKind.CLASSIFICATION), columns)
    with pytest.raises(Invalid, match="this is regression"):
        check_threshold("f1", problem(TaskKind.REGRESSION), columns)
    two = [Column("y", ColumnType.INTEGER, missing=0, distinct=2)]
    check_threshold("cost 1:5", problem(TaskKind.CLASSIFICATION), two)
