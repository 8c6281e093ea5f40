"""Preprocessing that was asked for: what it does, and that the served form does the same."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.training.served_form import NATIVE_FILE
from tests.integration.training.tables import bundled, customers, reviews
from tests.integration.training.test_train import Run

TABLE = customers(300)
MIXED: dict[str, Any] = {
    "age": {"impute": "mean", "scale": "robust", "indicator": True},
    "income": {"impute": "constant", "fill": -1.0, "scale": "min_max", "indicator": True},
    "active": {"role": "category", "encode": "ordinal"},
    "plan": {"encode": "ordinal"},
    "region": {"encode": "target"},
}


def pipeline_of(run: Run) -> Any:
    return joblib.load(run.folder / NATIVE_FILE)


@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("algorithm", ["ridge", "random_forest", "nearest_neighbours"])
def test_every_option_is_served_as_it_was_trained(
    tmp_path: Path, algorithm: str, number: bool
) -> None:
    table = customers(300, number=number)
    run = Run(tmp_path, table, algorithm=algorithm, preprocessing=MIXED)
    assert run.result.parity.agreed, run.result.parity.reason
    parts = pipeline_of(run).named_steps["prepare"].named_transformers_
    assert parts["numbers0"].named_steps["impute"].strategy == "mean"
    assert {type(part).__name__ for part in parts.values()} >= {"OrdinalEncoder", "TargetEncoder"}
    # Two numbers, what was missing of them, the codes of two columns, and a mean.
    assert pipeline_of(run).named_steps["model"].n_features_in_ == 7


def test_columns_may_have_two_underscores(tmp_path: Path) -> None:
    names = {"region": "address__region", "plan": "plan__", "age": "__age__", "review": "x__text"}
    table = pl.concat([TABLE.head(80), reviews().select("review")], how="horizontal")
    day = pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(days=pl.int_range(pl.len()))
    table = table.rename(names).with_columns(day.alias("signed__up"))
    run = Run(tmp_path, table, algorithm="ridge")
    assert run.result.parity.agreed, run.result.parity.reason
    assert {*names.values(), "signed__up"} <= {spec.name for spec in run.result.signature.inputs}


def test_several_classes_have_a_mean_each(tmp_path: Path) -> None:
    kinds = np.array(["low", "middle", "high"])[np.arange(300) % 3]
    table = TABLE.with_columns(pl.Series("target", kinds))
    rule = {"*": {"encode": "target", "scale": "none"}}
    run = Run(tmp_path, table, algorithm="logistic_regression", preprocessing=rule)
    assert run.result.parity.agreed, run.result.parity.reason
    assert pipeline_of(run).named_steps["model"].n_features_in_ == 3 + 2 * 3


@pytest.mark.parametrize("impute", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("scale", ["standard", "min_max", "robust", "none"])
def test_numbers_alone_are_filled_and_scaled(tmp_path: Path, impute: str, scale: str) -> None:
    table = TABLE.select("age", "income", "target").head(120)
    rules = {"*": {"impute": impute, "indicator": True}, "income": {"scale": scale}}
    run = Run(tmp_path, table, algorithm="logistic_regression", preprocessing=rules)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.signature.inputs[0].columns == ("age", "income")


@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        ({"method": "k_best", "k": 4}, 4),
        ({"method": "variance", "threshold": 0.2}, None),
        ({"method": "l1", "alpha": 0.02}, None),
    ],
)
def test_columns_that_say_nothing_are_left_out(
    tmp_path: Path, selection: dict[str, Any], kept: int | None, number: bool
) -> None:
    table = customers(300, number=number)
    run = Run(tmp_path, table, algorithm="ridge", selection=selection)
    steps = pipeline_of(run).named_steps
    width, left = len(steps["select"].get_support()), steps["model"].n_features_in_
    assert 0 < left < width
    assert left == kept or kept is None
    assert run.result.parity.agreed, run.result.parity.reason


def test_an_ignored_column_is_not_asked_for_and_texts_stay_as_they_are(tmp_path: Path) -> None:
    rules = {"stars": {"role": "ignore"}}
    selection = {"method": "k_best", "k": 30}
    spec = {"target": "verdict", "algorithm": "naive_bayes"}
    run = Run(tmp_path, reviews(), **spec, preprocessing=rules, selection=selection)
    assert [one.name for one in run.result.signature.inputs] == ["review"]
    assert run.result.parity.agreed, run.result.parity.reason


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"preprocessing": {"plan": {"scale": "robust"}}}, "'plan': 'scale' is for a number or a"),
        ({"preprocessing": {"age": {"encode": "target"}}}, "'age': 'encode' is for a category"),
        ({"preprocessing": {"age": {"fill": 3}}}, "'age': 'fill' is the constant of 'impute'"),
        ({"preprocessing": {"plan": {"role": "number"}}}, "'plan': 'role' is number, which takes"),
        ({"preprocessing": {"height": {"scale": "none"}}}, "there is no column 'height'"),
        ({"preprocessing": {"target": {"scale": "none"}}}, "'target' is the target"),
        ({"preprocessing": {"*": {"role": "ignore"}}}, "a role is for one column"),
        ({"preprocessing": {"age": {"scale": "log"}}}, "Invalid enum value 'log'"),
        ({"preprocessing": {"age": {"scaling": "none"}}}, "unknown field `scaling`"),
        ({"selection": {"method": "k_best", "k": 500}}, "'k' is 500, and the prepared matrix has"),
        ({"selection": {"method": "l1", "alpha": 1000}}, "a lower 'alpha' keeps more"),
        ({"selection": {"method": "variance", "threshold": 1e9}}, "No feature in X meets"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(
    tmp_path: Path, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid) as caught:
        Run(tmp_path, TABLE, algorithm="ridge", **spec)
    assert said in caught.value.message


def test_without_a_target_nothing_can_follow_it(tmp_path: Path) -> None:
    table = bundled("iris").drop("target").with_columns(kind=pl.Series(["a", "b", "c"] * 50))
    spec: dict[str, Any] = {"target": None, "algorithm": "k_means"}
    with pytest.raises(Invalid, match="'target' needs a target"):
        Run(tmp_path, table, **spec, preprocessing={"kind": {"encode": "target"}})
    with pytest.raises(Invalid, match="selection by 'l1' needs a target"):
        Run(tmp_path, table, **spec, selection={"method": "l1"})
    spec["selection"] = {"method": "variance", "threshold": 0.5}
    run = Run(tmp_path, table, **spec, preprocessing={"*": {"scale": "none"}})
    assert run.result.parity.agreed, run.result.parity.reason
