"""Files of XGBoost and LightGBM as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from modelyard.training.conversion.report import ConversionReport
from tests.integration.training.conversion.converted import assert_served_as_native, converted


def data_for(objective: str) -> Any:
    if "multi" in objective:
        return load_iris(return_X_y=True)
    if objective.startswith("binary") or objective in ("cross_entropy", "reg:logistic"):
        return load_breast_cancer(return_X_y=True)
    rows, target = load_diabetes(return_X_y=True)
    return rows, target / 100


def with_gaps(rows: Any) -> list[list[float | None]]:
    rows = np.array(rows, np.float32)
    rows[::3, 0] = np.nan
    rows[1::4, 1:] = np.nan
    rows[5::6] = 0
    return [[None if np.isnan(cell) else float(cell) for cell in row] for row in rows]


def check(path: Path, format_: str, rows: Any) -> ConversionReport:
    report = converted(path, format_, with_gaps(rows))
    assert report.parity.agreed, report.parity
    assert_served_as_native(path, format_, report)
    return report


@pytest.mark.parametrize(
    "objective",
    [
        "binary:logistic",
        "binary:logitraw",
        "multi:softprob",
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:logistic",
        "reg:gamma",
        "reg:tweedie",
        "count:poisson",
    ],
)
def test_xgboost_agrees(objective: str, tmp_path: Path) -> None:
    rows, target = data_for(objective)
    parameters: dict[str, Any] = {"objective": objective, "max_depth": 4}
    if objective.startswith("multi"):
        parameters["num_class"] = 3
    xgboost.train(parameters, xgboost.DMatrix(rows, target), 10).save_model(tmp_path / "model.ubj")
    report = check(tmp_path / "model.ubj", "xgboost", rows)
    assert report.kind == f"xgboost {objective}"
    assert report.libraries["xgboost-cpu"] == xgboost.__version__


@pytest.mark.parametrize(
    "parameters",
    [
        {"booster": "dart", "rate_drop": 0.5},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"base_score": 0.2},
        {"early_stopping_rounds": 2, "learning_rate": 1.0},
        {"max_depth": 1, "n_estimators": 1, "gamma": 1e9},
    ],
    ids=["dart", "forest", "base", "early", "stump"],
)
def test_kinds_of_xgboost_agree(parameters: dict[str, Any], tmp_path: Path) -> None:
    rows, target = load_breast_cancer(return_X_y=True)
    own = xgboost.XGBClassifier(**{"n_estimators": 20, **parameters})
    evaluated = [(rows[400:], target[400:])] if "early_stopping_rounds" in parameters else None
    own.fit(rows[:400], target[:400], eval_set=evaluated, verbose=False)
    own.save_model(tmp_path / "model.json")
    check(tmp_path / "model.json", "xgboost", rows)


def test_several_targets_of_xgboost_agree(tmp_path: Path) -> None:
    rows, target = load_diabetes(return_X_y=True)
    own = xgboost.XGBRegressor(n_estimators=5).fit(rows, np.column_stack([target, -target]))
    own.save_model(tmp_path / "model.json")
    report = check(tmp_path / "model.json", "xgboost", rows)
    assert report.signature.outputs[0].shape == (-1, 2)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"booster": "gblinear"}, "has no trees"),
        ({"objective": "binary:hinge"}, "'binary:hinge' is not converted"),
        ({"multi_strategy": "multi_output_tree", "tree_method": "hist"}, "hold vectors"),
    ],
)
def test_what_xgboost_has_beside_trees_is_served_as_it_is(
    parameters: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    rows, target = load_breast_cancer(return_X_y=True)
    if "multi_strategy" in parameters:
        target = np.column_stack([target, 1 - target])
    own = xgboost.train(parameters, xgboost.DMatrix(rows, target), 3)
    own.save_model(tmp_path / "model.json")
    report = converted(tmp_path / "model.json", "xgboost", rows.tolist())
    assert not report.parity.agreed
    assert reason in report.parity.reason


@pytest.mark.parametrize(
    "objective",
    [
        "binary",
        "cross_entropy",
        "multiclass",
        "multiclassova",
        "regression",
        "regression_l1",
        "huber",
        "poisson",
        "gamma",
        "tweedie",
    ],
)
def test_lightgbm_agrees(objective: str, tmp_path: Path) -> None:
    rows, target = data_for(objective)
    parameters: dict[str, Any] = {"objective": objective, "verbose": -1, "num_threads": 1}
    if "multi" in objective:
        parameters["num_class"] = 3
    # Gaps in training make splits that send them to a side of their own.
    rows = np.array(rows)
    rows[::7, :2] = np.nan
    own = lightgbm.train(parameters, lightgbm.Dataset(rows, target), 10)
    own.save_model(tmp_path / "model.txt")
    report = check(tmp_path / "model.txt", "lightgbm", rows)
    assert report.kind.startswith(f"lightgbm {objective}")


@pytest.mark.parametrize(
    "parameters",
    [
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"boosting": "dart"},
        {"sigmoid": 0.5},
        {"num_leaves": 2, "min_data_in_leaf": 10_000},
        {"objective": "regression", "reg_sqrt": True},
        {"use_missing": False},
    ],
)
def test_kinds_of_lightgbm_agree(parameters: dict[str, Any], tmp_path: Path) -> None:
    rows, target = load_breast_cancer(return_X_y=True)
    common = {"objective": "binary", "verbose": -1, "num_threads": 1}
    own = lightgbm.train(common | parameters, lightgbm.Dataset(rows, target), 10)
    own.save_model(tmp_path / "model.txt")
    check(tmp_path / "model.txt", "lightgbm", rows)


def test_what_lightgbm_has_beside_plain_trees_is_served_as_it_is(tmp_path: Path) -> None:
    rows, target = load_diabetes(return_X_y=True)
    quiet = {"verbose": -1, "num_threads": 1}
    own = lightgbm.train(quiet | {"linear_tree": True}, lightgbm.Dataset(rows, target), 3)
    own.save_model(tmp_path / "model.txt")
    report = converted(tmp_path / "model.txt", "lightgbm", rows.tolist())
    assert "linear leaves" in report.parity.reason
    frame = pd.DataFrame({"a": pd.Categorical(["x", "y", "z"] * 100), "b": np.arange(300.0)})
    data = lightgbm.Dataset(frame, np.arange(300) % 3)
    lightgbm.train(quiet, data, 3).save_model(tmp_path / "model.txt")
    records = [{"a": one, "b": 1.0} for one in "xyz"]
    report = converted(tmp_path / "model.txt", "lightgbm", records)
    assert not report.parity.agreed
    assert "one matrix" in report.parity.reason or "category" in report.parity.reason
