"""XGBoost's and LightGBM's files against the libraries' own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype
from modelyard.serving.runtimes.contract import CannotLoad
from tests.integration.serving.runtimes.folder import loaded, signature_of, texts

Data = tuple[Any, Any]


def rows_of(data: Data, *, gaps: bool = True) -> Any:
    rows = np.array(data[0], np.float32)
    if gaps:
        rows[::3, 0] = np.nan
        rows[1::3] = np.nan
    return rows


@pytest.fixture(scope="module")
def iris() -> Data:
    data: Data = load_iris(return_X_y=True, as_frame=True)
    return data


@pytest.fixture(scope="module")
def cancer() -> Data:
    data: Data = load_breast_cancer(return_X_y=True)
    return data


@pytest.fixture(scope="module")
def diabetes() -> Data:
    data: Data = load_diabetes(return_X_y=True)
    return data


@pytest.mark.parametrize("suffix", ["json", "ubj", "model"])
def test_xgboost_classes(suffix: str, iris: Data, tmp_path: Path) -> None:
    own = xgboost.XGBClassifier(n_estimators=5).fit(*iris)
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(own.get_booster().save_raw("json" if suffix == "json" else "ubj"))
    model = loaded(path, "xgboost")
    signature = signature_of(model)
    assert signature.inputs[0].columns == tuple(iris[0].columns)
    assert signature.inputs[0].nullable
    assert [(s.name, s.datatype, s.shape) for s in signature.outputs] == [
        ("label", Datatype.INT64, (-1,)),
        ("probabilities", Datatype.FP32, (-1, 3)),
    ]
    for rows in (rows_of(iris)[:1], rows_of(iris)):
        answer = model.infer({"features": rows})
        np.testing.assert_array_equal(answer["label"], own.predict(rows))
        np.testing.assert_allclose(answer["probabilities"], own.predict_proba(rows), rtol=1e-6)


def test_xgboost_two_classes(cancer: Data, tmp_path: Path) -> None:
    own = xgboost.XGBClassifier(n_estimators=5).fit(*cancer)
    own.save_model(tmp_path / "model.json")
    rows = rows_of(cancer)
    answer = loaded(tmp_path / "model.json", "xgboost").infer({"features": rows})
    np.testing.assert_array_equal(answer["label"], own.predict(rows))
    np.testing.assert_allclose(answer["probabilities"], own.predict_proba(rows), rtol=1e-6)


def test_xgboost_numbers(diabetes: Data, tmp_path: Path) -> None:
    own = xgboost.XGBRegressor(n_estimators=5).fit(*diabetes)
    own.save_model(tmp_path / "model.ubj")
    rows = rows_of(diabetes)
    answer = loaded(tmp_path / "model.ubj", "xgboost").infer({"features": rows})
    np.testing.assert_allclose(answer["prediction"], own.predict(rows), rtol=1e-6)


def test_xgboost_stops_at_the_best_round_as_its_own_wrapper_does(
    cancer: Data, tmp_path: Path
) -> None:
    own = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=1.0)
    own.fit(cancer[0][:400], cancer[1][:400], eval_set=[(cancer[0][400:], cancer[1][400:])])
    assert own.best_iteration < own.get_booster().num_boosted_rounds() - 1
    own.save_model(tmp_path / "model.json")
    rows = rows_of(cancer)
    answer = loaded(tmp_path / "model.json", "xgboost").infer({"features": rows})
    np.testing.assert_allclose(answer["probabilities"], own.predict_proba(rows), rtol=1e-6)


@pytest.mark.parametrize(
    ("objective", "output"),
    [("multi:softmax", "label"), ("binary:hinge", "label"), ("reg:gamma", "prediction")],
)
def test_xgboost_boosters_answer_as_themselves(
    objective: str, output: str, iris: Data, tmp_path: Path
) -> None:
    rows, target = iris[0].to_numpy(np.float32), iris[1].to_numpy()
    if objective == "binary:hinge":
        target = target == 2
    elif objective == "reg:gamma":
        target = target + 1
    parameters = {"objective": objective}
    if objective == "multi:softmax":
        parameters["num_class"] = "3"
    own = xgboost.train(parameters, xgboost.DMatrix(rows, target), 5)
    own.save_model(tmp_path / "model.json")
    answer = loaded(tmp_path / "model.json", "xgboost").infer({"features": rows})
    np.testing.assert_allclose(answer[output], own.predict(xgboost.DMatrix(rows)), rtol=1e-6)


def test_lightgbm_classes(iris: Data, cancer: Data, tmp_path: Path) -> None:
    for data in (iris, cancer):
        own = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)
        own.fit(np.asarray(data[0]), data[1])
        own.booster_.save_model(tmp_path / "model.txt")
        model = loaded(tmp_path / "model.txt", "lightgbm")
        assert signature_of(model).inputs[0].columns == ()
        for rows in (rows_of(data)[:1], rows_of(data)):
            answer = model.infer({"features": rows})
            # A frame without names, as it was trained on a matrix.
            np.testing.assert_array_equal(answer["label"], own.predict(rows))
            np.testing.assert_allclose(answer["probabilities"], own.predict_proba(rows), rtol=1e-5)


def test_lightgbm_numbers_and_names_of_columns(iris: Data, tmp_path: Path) -> None:
    frame = iris[0].rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
    own = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, n_jobs=1).fit(frame, iris[1])
    own.booster_.save_model(tmp_path / "model.txt")
    model = loaded(tmp_path / "model.txt", "lightgbm")
    assert signature_of(model).inputs[0].columns == tuple(frame.columns)
    answer = model.infer({"features": frame.to_numpy(np.float32)})
    np.testing.assert_allclose(answer["prediction"], own.predict(frame), rtol=1e-5)


def test_lightgbm_takes_categories_by_name(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": generator.normal(size=300),
            "colour": pd.Categorical(generator.choice(["red", "green", "blue"], 300)),
        }
    )
    target = frame["size"] + frame["colour"].cat.codes * 3.0
    own = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1, min_data_per_group=1)
    own.fit(frame, target)
    own.booster_.save_model(tmp_path / "model.txt")
    model = loaded(tmp_path / "model.txt", "lightgbm")
    assert [(s.name, s.datatype) for s in signature_of(model).inputs] == [
        ("size", Datatype.FP32),
        ("colour", Datatype.BYTES),
    ]
    answer = model.infer(
        {"size": frame["size"].to_numpy(np.float32), "colour": texts(*frame["colour"])}
    )
    np.testing.assert_allclose(answer["prediction"], own.predict(frame), rtol=1e-4)
    unknown = model.infer({"size": np.zeros(2, np.float32), "colour": texts("mauve", "")})
    assert unknown["prediction"][0] == unknown["prediction"][1]


@pytest.mark.parametrize("format_", ["xgboost", "lightgbm"])
def test_wrong_inputs_are_the_callers_mistake(format_: str, diabetes: Data, tmp_path: Path) -> None:
    if format_ == "xgboost":
        xgboost.XGBRegressor(n_estimators=2).fit(*diabetes).save_model(tmp_path / "model.json")
    else:
        own = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=1).fit(*diabetes)
        own.booster_.save_model(tmp_path / "model.json")
    model = loaded(tmp_path / "model.json", format_)
    with pytest.raises(Invalid, match="the model refused the input"):
        model.infer({"features": np.zeros((2, 3), np.float32)})


@pytest.mark.parametrize(
    ("format_", "data", "problem"),
    [
        ("xgboost", b"", "which this is not"),
        ("xgboost", b"{}", "XGBoost does not load it"),
        ("xgboost", b'{"learner": 1}', "XGBoost does not load it"),
        ("lightgbm", b"", "LightGBM does not load it"),
        ("lightgbm", b"tree\n\xff\xfe", "text in UTF-8"),
        ("lightgbm", b"tree\nversion=v4\n", "LightGBM does not load it"),
    ],
)
def test_what_is_no_model_does_not_load(
    format_: str, data: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(CannotLoad, match=problem):
        loaded(tmp_path / "model", format_)
