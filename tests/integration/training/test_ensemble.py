"""Ensembles: scored by the folds of their members, trained together, served as one graph."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tasks import Progress
from modelyard.registry.artifact import Format
from modelyard.training.combination import Combination, combination, fit_together, learned_again
from modelyard.training.groundwork import Groundwork, lay
from modelyard.training.selection import compare
from modelyard.training.served_form import ONNX_FILE, ServedForm, served_form
from modelyard.training.spec import Ensembling, TrainSpec
from modelyard.training.trainers.catalogue import ALGORITHMS
from modelyard.training.watch import Watch
from tests.integration.training.tables import bundled, customers, reviews
from tests.integration.training.test_train import Run

SOME = ("logistic_regression", "naive_bayes", "decision_tree", "ridge")
NUMBERS = ("ridge", "lightgbm", "elastic_net")


def _quiet(_: Progress) -> None:
    """What is told of the folds is of no interest here."""


def combined(
    frame: pl.DataFrame, names: tuple[str, ...], method: Ensembling, **spec: Any
) -> tuple[Groundwork, Combination]:
    """The named algorithms, compared and combined."""
    ground = lay(frame, TrainSpec("t", **{"target": "target", "folds": 3, **spec}))
    rows, rules = ground.held.inside, ground.rules
    algorithms = [ALGORITHMS[name] for name in names]
    found = compare(algorithms, ground.problem, rows, rules, _quiet, keep=3)
    return ground, combination(method, found.crossed, ground.problem, rows, rules)


def served(ground: Groundwork, found: Combination, folder: Path) -> tuple[Any, ServedForm]:
    """The ensemble, and its served form."""
    fitted = fit_together(found, ground.problem, ground.held.inside, ground.rules, Watch())
    held_out = ground.held.outside.features
    return fitted.pipeline, served_form(fitted.pipeline, ground.problem, held_out, folder)


@pytest.mark.parametrize("method", list(Ensembling))
@pytest.mark.parametrize(
    ("frame", "names", "spec"),
    [
        (customers(300), SOME, {}),
        (customers(300, number=True), NUMBERS, {}),
        (reviews(), (*SOME, "svm"), {"target": "verdict", "metric": "log_loss"}),
        (bundled("wine").with_columns(pl.col("target").rank("dense")), SOME, {}),
    ],
    ids=["mixed", "numbers", "text", "whole classes"],
)
def test_an_ensemble_is_one_graph_that_agrees(
    tmp_path: Path, frame: pl.DataFrame, names: tuple[str, ...], spec: Any, method: Ensembling
) -> None:
    ground, found = combined(frame, names, method, **spec)
    assert found.candidate.score is not None, found.candidate.error
    assert (found.folds, found.rows) == (3, len(ground.held.inside))
    assert (found.head is None) == (method is Ensembling.VOTING)
    ensemble, form = served(ground, found, tmp_path)
    assert form.parity.agreed, form.parity.reason
    assert form.parity.largest_difference is not None
    assert [one.format for one in form.artifacts].count(Format.ONNX) == 1
    rows = ground.held.outside.features
    if method is Ensembling.VOTING and hasattr(ensemble, "predict_proba"):
        each = [member.predict_proba(rows) for member in ensemble.members]
        np.testing.assert_allclose(ensemble.predict_proba(rows), np.mean(each, axis=0))


def test_who_gives_no_probabilities_has_no_vote() -> None:
    _, found = combined(customers(200), SOME, Ensembling.VOTING)
    members = {one.algorithm.name for one in found.crossed}
    assert members == {"logistic_regression", "naive_bayes", "decision_tree"}


def test_one_alone_is_no_ensemble() -> None:
    _, found = combined(customers(200), ("ridge", "svm"), Ensembling.VOTING)
    assert found.candidate.score is None
    assert "fewer than two candidates" in found.candidate.error
    assert not found.better_than(0.0, "accuracy")


def test_a_head_is_scored_on_folds_that_it_has_not_seen() -> None:
    dice = np.random.default_rng(0)
    noise = pl.DataFrame(dice.normal(size=(300, 8)), schema=list("abcdefgh"))
    noise = noise.with_columns(pl.Series("target", dice.choice(["yes", "no"], 300)))
    _, found = combined(noise, ("decision_tree", "nearest_neighbours"), Ensembling.STACKING)
    assert found.candidate.score == pytest.approx(0.5, abs=0.09)


def test_a_head_may_be_learned_again_from_fewer_rows() -> None:
    ground, found = combined(customers(300), SOME, Ensembling.STACKING)
    fewer = ground.held.inside.take(np.arange(150))
    again = learned_again(found, ground.problem, fewer, ground.rules)
    assert again.rows == 150
    assert again.head is not found.head
    assert not np.allclose(getattr(again.head, "coef_", 0), getattr(found.head, "coef_", 0))


def test_the_weights_of_numbers_are_on_the_card() -> None:
    _, found = combined(customers(300, number=True), NUMBERS, Ensembling.STACKING)
    weights = [one.weight for one in found.told().members]
    assert all(weight is not None and weight >= 0 for weight in weights)
    assert sum(weight or 0.0 for weight in weights) == pytest.approx(1, abs=0.15)


def test_the_same_seed_makes_the_same_ensemble(tmp_path: Path) -> None:
    graphs = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        served(*combined(customers(200), SOME, Ensembling.STACKING), folder)
        graphs.append((folder / ONNX_FILE).read_bytes())
    assert graphs[0] == graphs[1]


def test_the_better_ensemble_is_taken(tmp_path: Path) -> None:
    run = Run(tmp_path, bundled("iris"), folds=2, metric="log_loss", ensemble="voting")
    card = run.result.card
    assert card.algorithm == card.leaderboard[0].algorithm == "voting"
    assert card.ensemble is not None
    names = [one.algorithm for one in card.ensemble.members]
    assert len(names) == 3
    assert card.reasons[-1].startswith(f"voting of {', '.join(names)}: log_loss 0.")
    assert card.reasons[-1].endswith("they answer together")
    assert run.result.parity.agreed, run.result.parity.reason
    assert {name.partition(".")[0] for name in run.result.parameters} == set(names)
    ensemble = joblib.load(run.folder / "native.joblib")
    rows = bundled("iris").drop("target")
    answer = run.predict(features=rows.to_numpy().tolist())
    native = ensemble.predict_proba(rows.cast(pl.Float32))
    np.testing.assert_allclose(answer["probabilities"], native, atol=1e-5)


def test_the_tuned_one_takes_part_and_the_better_alone_stays_alone(tmp_path: Path) -> None:
    frame = bundled("diabetes")
    run = Run(tmp_path, frame, folds=2, trials=3, ensemble="stacking", ensemble_size=2)
    card = run.result.card
    assert card.tuning is not None
    told = [one for one in card.leaderboard if one.algorithm == "stacking"]
    assert len(told) == 1
    assert told[0].score is not None
    if told[0].score > card.tuning.score:
        assert card.algorithm == "stacking"
    else:
        assert card.ensemble is None
        assert "it stays alone" in card.reasons[-1]


def test_votes_count_where_a_class_is_only_in_the_earliest_rows() -> None:
    frame = (
        customers(300)
        .with_row_index("day")
        .with_columns(
            pl.when(pl.int_range(pl.len()) < 12)
            .then(pl.lit("old"))
            .otherwise("target")
            .alias("target")
        )
    )
    ground, found = combined(frame, SOME, Ensembling.VOTING, time_column="day")
    assert found.candidate.score is not None, found.candidate.error
    fitted = fit_together(found, ground.problem, ground.held.inside, ground.rules, Watch())
    assert "old" in fitted.pipeline.classes_


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"algorithm": "svm", "ensemble": "voting"}, "'svm' stands alone"),
        ({"ensemble": "stacking", "time_column": "age"}, "folds by time leave out the earliest"),
        ({"ensemble": "voting", "task": "clustering", "target": None}, "not clustering"),
        ({"ensemble": "bagging"}, "bagging"),
        ({"ensemble": "voting", "ensemble_size": 1}, "ensemble_size"),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused(
    tmp_path: Path, spec: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        Run(tmp_path, customers(100), **spec)
