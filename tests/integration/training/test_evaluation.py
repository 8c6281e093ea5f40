"""What a training measures of its model, and says of its choice."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.registry.plots import draw, plots
from tests.integration.training.tables import bundled, customers
from tests.integration.training.test_train import Run


def test_two_classes_are_measured_in_every_way(tmp_path: Path) -> None:
    frame = customers().with_columns(
        shop=pl.Series(np.where(np.arange(600) % 3 == 0, "north", "south"))
    )
    result = Run(
        tmp_path,
        frame,
        algorithm="logistic_regression",
        exclude=["shop"],
        slices=["shop", "age", "shop"],
        threshold="cost 1:10",
    ).result
    card, evaluation = result.card, result.evaluation
    assert "shop" not in card.features
    assert set(card.intervals) == set(card.metrics) >= {"balanced_accuracy", "pr_auc", "ece"}
    for name, interval in card.intervals.items():
        # The calibration error of a draw is larger than that of the rows, as it must be.
        assert interval.low <= card.metrics[name] <= interval.high or name == "ece"
    assert {one.label for one in evaluation.classes} == {"false", "true"}
    assert sum(one.rows for one in evaluation.classes) == card.test_rows
    assert [one.label for one in evaluation.roc] == ["true"]
    assert evaluation.calibration is not None
    assert sum(evaluation.calibration.rows) == card.test_rows
    for column in ("shop", "age"):
        parts = [one.rows for one in evaluation.slices if one.column == column]
        assert sum(parts) == card.test_rows
    assert len([one for one in evaluation.slices if one.column == "shop"]) == 2
    threshold = evaluation.threshold
    assert threshold is not None
    assert 0 < threshold.value < 0.5
    assert threshold.metrics["misses"] < threshold.before["misses"]
    assert threshold.metrics["false_alarms"] > threshold.before["false_alarms"]
    assert evaluation.importance[0].column in ("age", "plan")
    assert evaluation.importance[0].loss > 0.05
    drawn = plots(card, evaluation)
    assert set(drawn) == {
        "confusion", "roc", "precision-recall", "calibration", "importance", "slices"
    }  # fmt: skip
    assert all(draw(name, card, evaluation).startswith("<svg") for name in drawn)


def test_numbers_have_residuals(tmp_path: Path) -> None:
    result = Run(tmp_path, bundled("diabetes"), algorithm="ridge", slices=["sex"]).result
    residuals = result.evaluation.residuals
    assert residuals is not None
    assert len(residuals.truth) == result.card.test_rows == 89
    errors = np.subtract(residuals.predicted, residuals.truth)
    assert residuals.quantiles["0.5"] == pytest.approx(float(np.median(errors)), abs=0.01)
    assert set(result.card.metrics) == {"r2", "rmse", "mae", "median_ae", "mape"}
    assert plots(result.card, result.evaluation)[0] == "predictions"
    assert result.evaluation.importance[0].column in ("bmi", "s1", "s5")


def test_auto_says_why_it_chose_what_it_did(tmp_path: Path) -> None:
    run = Run(tmp_path, bundled("wine"), folds=2)
    said = run.result.card.reasons
    assert said[0] == "classification, because 'target' holds strings (3 classes)"
    assert said[1].startswith("measured by accuracy, because the classes are about as frequent (3")
    best, second = run.result.card.leaderboard[:2]
    assert said[2].startswith(f"{best.algorithm} has the best accuracy of ")
    assert f", before {second.algorithm} with {second.score:.4f}" in said[2]
    assert said[2] in [line.message for line in run.story]
    assert "leaderboard" in plots(run.result.card, run.result.evaluation)


def test_a_named_algorithm_and_an_asked_metric_are_said_to_be_asked_for(tmp_path: Path) -> None:
    few = customers().filter(pl.col("target") | (pl.int_range(pl.len()) % 9 == 0))
    card = Run(tmp_path, few, algorithm="ridge", metric="balanced_accuracy").result.card
    assert card.reasons[1:] == (
        "measured by balanced_accuracy, as asked",
        "the algorithm ridge, as asked",
    )
    assert any("f1" in one for one in Run(tmp_path, few, algorithm="ridge").result.card.reasons)


def test_no_threshold_is_said_with_its_reason_and_a_wrong_one_refused(tmp_path: Path) -> None:
    result = Run(tmp_path, customers(), algorithm="ridge", threshold="f1").result
    assert result.evaluation.threshold is None
    assert result.card.warnings[-1].startswith("no threshold was chosen by 'f1': the model gives")
    with pytest.raises(Invalid, match="for a target of two classes; this is classification of 3"):
        Run(tmp_path, bundled("iris"), threshold="f1")
    with pytest.raises(Invalid, match="there is no column 'town' to slice by"):
        Run(tmp_path, bundled("iris"), slices=["town"])


def test_the_same_seed_measures_the_same(tmp_path: Path) -> None:
    runs = [
        Run(tmp_path / str(n), customers(), algorithm="logistic_regression", slices=["plan"])
        for n in range(2)
    ]
    assert runs[0].result.evaluation == runs[1].result.evaluation
    assert runs[0].result.card.intervals == runs[1].result.card.intervals
