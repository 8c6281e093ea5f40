"""Training with rows that are held out by time or by group."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from tests.integration.training.tables import bundled, customers
from tests.integration.training.test_train import Run


def patients() -> pl.DataFrame:
    """Rows that tell whose they are, and nothing else: a model that has seen a patient knows the
    target, and one that has not knows nothing.
    """
    dice = np.random.default_rng(0)
    who = np.repeat(np.arange(60), 10)
    finger = dice.normal(size=(60, 4))[who] + dice.normal(0, 0.01, (600, 4))
    frame = pl.DataFrame(finger, schema=["a", "b", "c", "d"], orient="row")
    ill = dice.permutation(np.repeat(["ill", "well"], 30))[who]
    names = [f"patient {number}" for number in who]
    return frame.with_columns(pl.Series("target", ill), pl.Series("patient", names))


def test_groups_on_both_sides_would_make_a_good_score_of_nothing(tmp_path: Path) -> None:
    spec = {"algorithm": "random_forest", "parameters": {"n_estimators": 30}}
    leaky = Run(tmp_path / "a", patients(), exclude=["patient"], **spec).result.card
    assert leaky.metrics["accuracy"] > 0.98
    honest = Run(tmp_path / "b", patients(), group_column="patient", **spec).result.card
    assert honest.metrics["accuracy"] < 0.8
    assert honest.features == ("a", "b", "c", "d")
    assert any("column 'patient' was left out" in warning for warning in honest.warnings)
    split = honest.split
    assert split is not None
    assert (split.method, split.column, split.train_groups + split.test_groups) == (
        "group",
        "patient",
        60,
    )


def test_candidates_and_trials_are_folded_by_group_too(tmp_path: Path) -> None:
    card = Run(
        tmp_path,
        patients(),
        group_column="patient",
        algorithm="nearest_neighbours",
        trials=2,
        folds=3,
    ).result.card
    assert card.tuning is not None
    # Neighbours of the same patient would make this nearly one.
    assert card.tuning.score < 0.8


def test_the_latest_rows_are_held_out_and_the_model_learns_from_earlier_ones(
    tmp_path: Path,
) -> None:
    days = pl.datetime_range(
        pl.datetime(2025, 1, 1), pl.datetime(2026, 8, 23), "1d", time_unit="us", eager=True
    )
    frame = customers(number=True).with_columns(day=days[:600].shuffle(seed=1))
    card = Run(
        tmp_path, frame, algorithm="ridge", time_column="day", test_fraction=0.25
    ).result.card
    split = card.split
    assert split is not None
    assert (split.train_rows, split.test_rows, split.boundary) == (450, 150, "2026-03-27")
    assert split.seed is None
    assert card.metrics["r2"] > 0.5
    assert "day" in card.features


def test_a_split_that_cannot_be_is_refused_with_its_column(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no column 'when' to split by time"):
        Run(tmp_path, bundled("iris"), time_column="when")
