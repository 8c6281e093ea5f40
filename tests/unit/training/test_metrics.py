"""Every metric against scikit-learn's, on all rows, on rows drawn again and on a slice."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as theirs

from modelyard.core.errors import Invalid
from modelyard.training.evaluation.bootstrap import differences, draws, intervals
from modelyard.training.evaluation.metrics import CLASSES, NUMBERS, measure, values
from modelyard.training.evaluation.prediction import (
    Classified,
    Estimated,
    classified,
    estimated,
)
from modelyard.training.rows import Array

Oracle = Callable[[Array, Array, Array], float]


def _two(probabilities: Array) -> Array:
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def _average(truth: Array, likely: Array) -> float:
    labels = [1] if likely.shape[1] == 2 else list(range(likely.shape[1]))
    each = [theirs.average_precision_score(truth == label, likely[:, label]) for label in labels]
    return float(np.mean(each))


ORACLES: dict[str, Oracle] = {
    "accuracy": lambda truth, said, likely: theirs.accuracy_score(truth, said),
    "balanced_accuracy": lambda truth, said, likely: theirs.balanced_accuracy_score(truth, said),
    "f1": lambda truth, said, likely: theirs.f1_score(truth, said, average="macro"),
    "precision": lambda truth, said, likely: theirs.precision_score(
        truth, said, average="macro", zero_division=0
    ),
    "recall": lambda truth, said, likely: theirs.recall_score(
        truth, said, average="macro", zero_division=0
    ),
    "roc_auc": lambda truth, said, likely: theirs.roc_auc_score(
        truth, _two(likely), multi_class="ovr"
    ),
    "pr_auc": lambda truth, said, likely: _average(truth, likely),
    "log_loss": lambda truth, said, likely: theirs.log_loss(truth, likely),
    "brier": lambda truth, said, likely: theirs.brier_score_loss(truth, _two(likely)),
}
NUMERIC: dict[str, Callable[[Array, Array], float]] = {
    "r2": theirs.r2_score,
    "rmse": theirs.root_mean_squared_error,
    "mae": theirs.mean_absolute_error,
    "median_ae": theirs.median_absolute_error,
    "mape": theirs.mean_absolute_percentage_error,
}


def some_classes(labels: int, rows: int = 300, seed: int = 0) -> Classified:
    """Coarse probabilities, so that there are ties."""
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, labels, rows)
    scores = dice.random((rows, labels)) + 0.7 * np.eye(labels)[truth]
    likely = np.round(scores / scores.sum(axis=1, keepdims=True), 1) + 0.01
    return classified(truth, likely.argmax(axis=1), np.arange(labels), likely)


def some_numbers(rows: int = 101, seed: int = 0) -> Estimated:
    dice = np.random.default_rng(seed)
    truth = dice.normal(1000, 5, rows)
    return estimated(truth, truth + dice.normal(0, 2, rows))


@pytest.mark.parametrize("labels", [2, 3, 7])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_a_metric_of_classes_is_scikit_learns(name: str, labels: int) -> None:
    found = some_classes(labels)
    assert found.probabilities is not None
    expected = ORACLES[name](found.truth, found.predicted, found.probabilities)
    assert values(found, (name,))[name] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(NUMERIC))
@pytest.mark.parametrize("rows", [100, 101])
def test_a_metric_of_numbers_is_scikit_learns(name: str, rows: int) -> None:
    found = some_numbers(rows)
    expected = NUMERIC[name](found.truth, found.predicted)
    assert values(found, (name,))[name] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("labels", [2, 5])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_a_weight_of_two_is_the_row_twice_and_of_zero_no_row(name: str, labels: int) -> None:
    found = some_classes(labels)
    assert found.probabilities is not None
    weights = np.random.default_rng(3).integers(0, 3, (4, len(found))) * 1.0
    measured = measure(found, weights, (name,))[name]
    for draw, value in zip(weights.astype(int), measured, strict=True):
        rows = np.repeat(np.arange(len(found)), draw)
        expected = ORACLES[name](
            found.truth[rows], found.predicted[rows], found.probabilities[rows]
        )
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(NUMERIC))
def test_numbers_are_weighed_like_classes(name: str) -> None:
    found = some_numbers()
    weights = np.random.default_rng(3).integers(0, 3, (4, len(found))) * 1.0
    measured = measure(found, weights, (name,))[name]
    for draw, value in zip(weights.astype(int), measured, strict=True):
        rows = np.repeat(np.arange(len(found)), draw)
        expected = NUMERIC[name](found.truth[rows], found.predicted[rows])
        assert value == pytest.approx(expected, rel=1e-9)


def test_every_metric_has_an_oracle_or_a_test_of_its_own() -> None:
    assert set(CLASSES) == {*ORACLES, "ece"}
    assert set(NUMBERS) == set(NUMERIC)


def test_calibration_is_the_gap_between_said_and_seen() -> None:
    truth = np.array([1, 1, 0, 0, 1, 1, 1, 1])
    likely = np.array([0.9] * 4 + [0.6] * 4)
    found = classified(truth, np.ones(8), np.array([0, 1]), np.stack([1 - likely, likely], axis=1))
    # Nine tenths said, half seen; six tenths said, all seen.
    assert values(found, ("ece",)) == {"ece": pytest.approx(0.5 * 0.4 + 0.5 * 0.4)}


def test_a_class_that_the_model_does_not_know_counts_against_it() -> None:
    truth = np.array(["new", "old", "old"], dtype=object)
    said = np.array(["odd", "old", "old"], dtype=object)
    classes = np.array(["odd", "old"], dtype=object)
    found = classified(truth, said, classes, np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]))
    assert found.labels == ("new", "odd", "old")
    assert values(found, ("accuracy", "recall"))["accuracy"] == pytest.approx(2 / 3)
    assert found.probabilities is not None
    assert found.probabilities[0].tolist() == [0.0, 0.9, 0.1]


def test_what_is_not_defined_is_left_out() -> None:
    one = classified(np.array([1, 1]), np.array([1, 0]), np.array([0, 1]), np.full((2, 2), 0.5))
    assert set(values(one, tuple(CLASSES))) == set(CLASSES) - {"roc_auc", "pr_auc"}
    silent = classified(np.array([0, 1]), np.array([1, 0]), np.array([0, 1]), None)
    assert set(values(silent, tuple(CLASSES))) == {
        "accuracy",
        "balanced_accuracy",
        "f1",
        "precision",
        "recall",
    }
    flat = estimated(np.array([0.0, 0.0]), np.array([1.0, 2.0]))
    assert set(values(flat, tuple(NUMBERS))) == {"rmse", "mae", "median_ae"}


def test_an_interval_is_about_as_wide_as_the_textbook_says() -> None:
    dice = np.random.default_rng(5)
    truth = dice.integers(0, 2, 400)
    said = np.where(dice.random(400) < 0.85, truth, 1 - truth)
    found = classified(truth, said, np.array([0, 1]), None)
    accuracy = values(found, ("accuracy",))["accuracy"]
    interval = intervals(found, ("accuracy",), seed=0)["accuracy"]
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 400)
    assert interval.low == pytest.approx(accuracy - half, abs=0.008)
    assert interval.high == pytest.approx(accuracy + half, abs=0.008)
    assert interval == intervals(found, ("accuracy",), seed=0)["accuracy"]
    assert interval != intervals(found, ("accuracy",), seed=1)["accuracy"]


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        found = some_numbers(80, seed)
        interval = intervals(found, ("mae",), seed)["mae"]
        held += interval.low <= 2 * np.sqrt(2 / np.pi) <= interval.high
    assert 50 <= held <= 60


def test_rows_of_one_group_are_drawn_together_and_make_less_sure() -> None:
    truth = np.repeat(np.random.default_rng(0).integers(0, 2, 20), 20)
    said = np.repeat(np.random.default_rng(1).integers(0, 2, 20), 20)
    found = classified(truth, said, np.array([0, 1]), None)
    groups = np.repeat(np.arange(20), 20)
    (weights,) = draws(400, 0, groups)
    assert all(len(np.unique(weights[:, groups == group], axis=1).T) == 1 for group in range(20))
    alone = intervals(found, ("accuracy",), 0)["accuracy"]
    together = intervals(found, ("accuracy",), 0, groups)["accuracy"]
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_two_models_on_the_same_draws_differ_less_than_each_varies() -> None:
    mine = some_numbers(200)
    theirs = estimated(mine.truth, mine.predicted + 0.1)
    between = differences(mine, theirs, ("mae",), 0)["mae"]
    alone = intervals(mine, ("mae",), 0)["mae"]
    assert between.high - between.low < 0.5 * (alone.high - alone.low)
    same = differences(mine, mine, ("mae", "rmse"), 0)
    assert (same["mae"].low, same["mae"].high, same["rmse"].high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("rows", "classes", "count"), [(9, 1, 0), (10, 1, 1000), (100_000, 1, 200)]
)
def test_the_work_is_bounded(rows: int, classes: int, count: int) -> None:
    assert sum(len(weights) for weights in draws(rows, 0, None, classes)) == count


def test_many_classes_have_no_interval_where_it_would_take_long() -> None:
    found = some_classes(100, rows=2001)
    names: tuple[Any, ...] = ("accuracy", "roc_auc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(intervals(found, names, 0)) == {"accuracy"}


def test_probabilities_that_are_no_numbers_are_refused() -> None:
    likely = np.array([[0.5, 0.5], [np.nan, np.nan], [np.inf, 0.0]])
    with pytest.raises(Invalid, match="no finite numbers for 1 of 2 rows"):
        estimated(np.zeros(2), np.array([1.0, np.inf]))
    with pytest.raises(Invalid, match="no numbers for 2 of 3 rows"):
        classified(np.array([0, 1, 1]), np.array([0, 1, 1]), np.array([0, 1]), likely)
