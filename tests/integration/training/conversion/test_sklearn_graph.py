"""Estimators of scikit-learn's kind as ONNX: they agree, or the report says why they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from modelyard.core.errors import Invalid
from modelyard.training.conversion.sample import GAP_ROWS
from tests.integration.training.conversion.converted import (
    assert_served_as_native,
    converted,
    names,
    pickled,
    served,
)

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)

CLASSIFIERS = {
    "logistic": LogisticRegression(max_iter=1000),
    "scaled": make_pipeline(StandardScaler(), SVC()),
    "forest": RandomForestClassifier(10, random_state=0),
    "tree": DecisionTreeClassifier(random_state=0),
    "scaled extra trees": make_pipeline(StandardScaler(), ExtraTreesClassifier(10, random_state=0)),
    "histogram": HistGradientBoostingClassifier(max_iter=5),
    "scaled xgboost": make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=5)),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_agree(name: str, tmp_path: Path) -> None:
    for rows, target in (IRIS, CANCER):
        words = np.array(["no", "yes", "maybe"])[target]
        own = clone(CLASSIFIERS[name]).fit(rows, target if "xgboost" in name else words)
        path = pickled(own, tmp_path)
        report = converted(path, "pickle", rows.tolist())
        assert report.parity.agreed, report.parity
        gaps = GAP_ROWS if report.signature.inputs[0].nullable else 0
        assert report.parity.rows == len(rows) + gaps
        assert report.parity.label_agreement == 1.0
        assert report.served is not None
        assert not report.warnings
        assert_served_as_native(path, "pickle", report)


@pytest.mark.parametrize(
    "model",
    [
        Ridge(),
        RandomForestRegressor(10, random_state=0),
        HistGradientBoostingRegressor(max_iter=5),
        HistGradientBoostingRegressor(loss="poisson", max_iter=5),
        PCA(3),
        KMeans(3, n_init=1),
    ],
)
def test_others_agree(model: Any, tmp_path: Path) -> None:
    path = pickled(model.fit(*DIABETES), tmp_path)
    report = converted(path, "pickle", DIABETES[0].tolist())
    assert report.parity.agreed, report.parity
    assert_served_as_native(path, "pickle", report)


PEOPLE = pd.DataFrame(
    {
        "age": np.arange(60.0) % 7,
        "income": np.arange(60.0) ** 2,
        "city": ["Bern", "Oslo", "Rome"] * 20,
    }
)


def by_column(last: Any, **options: Any) -> Any:
    prepare = make_column_transformer(
        (StandardScaler(), ["income"]),
        (OneHotEncoder(handle_unknown="ignore"), ["city"]),
        **options,
    )
    return make_pipeline(prepare, last)


@pytest.mark.parametrize(
    "model",
    [
        by_column(LogisticRegression()),
        by_column(xgboost.XGBClassifier(n_estimators=5), sparse_threshold=1.0),
        by_column(xgboost.XGBClassifier(n_estimators=5), sparse_threshold=0.0),
    ],
    ids=["logistic", "sparse xgboost", "dense xgboost"],
)
def test_columns_agree(model: Any, tmp_path: Path) -> None:
    own = model.fit(PEOPLE, np.arange(60) % 2)
    report = converted(pickled(own, tmp_path), "pickle", PEOPLE.to_dict("records"))
    assert report.parity.agreed, report.parity
    # What the pipeline drops is no input.
    assert names(report.signature) == (["income", "city"], ["label", "probabilities"])
    rows = {
        "income": PEOPLE["income"].to_numpy(np.float32)[:5],
        "city": np.array(["Bern", "Oslo", "Paris", "", "Rome"], np.object_),
    }
    frame = pd.DataFrame({"age": 0.0, **rows})
    np.testing.assert_allclose(
        served(tmp_path, report, rows)["probabilities"], own.predict_proba(frame), atol=1e-5
    )


def test_named_columns_of_numbers_are_one_matrix(tmp_path: Path) -> None:
    prepare = ColumnTransformer([("a", StandardScaler(), ["age"]), ("b", MinMaxScaler(), [1])])
    frame = PEOPLE[["age", "income"]]
    own = make_pipeline(prepare, Ridge()).fit(frame, np.arange(60))
    report = converted(pickled(own, tmp_path), "pickle", frame.to_dict("records"))
    assert report.parity.agreed, report.parity
    assert report.signature.inputs[0].columns == ("age", "income")


@pytest.mark.parametrize(
    "vectorizer",
    [TfidfVectorizer(), CountVectorizer(ngram_range=(1, 2)), TfidfVectorizer(norm=None)],
)
def test_text_is_counted_in_front_of_the_graph(vectorizer: Any, tmp_path: Path) -> None:
    said = ["a good film", "a bad film", "a good book", "a really bad book"] * 5
    own = make_pipeline(vectorizer, LogisticRegression()).fit(said, ["+", "-", "+", "-"] * 5)
    report = converted(pickled(own, tmp_path), "pickle", [{"text": one} for one in said])
    assert report.parity.agreed, report.parity
    assert report.features
    texts = np.array(["Good, really good", "", "unheard-of"], np.object_)
    answer = served(tmp_path, report, {"text": texts})
    np.testing.assert_allclose(answer["probabilities"], own.predict_proba(texts), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            make_pipeline(TfidfVectorizer(stop_words="english"), LogisticRegression()),
            "stop_words is not the plain one",
        ),
        (
            make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression()),
            "sublinear_tf is not the plain one",
        ),
    ],
)
def test_text_that_is_split_otherwise_is_served_as_it_is(
    model: Any, reason: str, tmp_path: Path
) -> None:
    said = ["a good film", "a bad film", "a good book", "a really bad book"]
    path = pickled(model.fit(said, [1, 0, 1, 0]), tmp_path)
    report = converted(path, "pickle", said)
    assert (report.parity.agreed, report.graph, report.served) == (False, "", None)
    assert reason in report.parity.reason


def test_what_the_converter_does_not_know_is_served_as_it_is(tmp_path: Path) -> None:
    parts = [("a", LogisticRegression(max_iter=1000)), ("b", RandomForestClassifier(3))]
    report = converted(pickled(VotingClassifier(parts).fit(*IRIS), tmp_path), "pickle")
    assert not report.parity.agreed
    assert report.parity.reason.startswith("not converted: ")
    assert not list(tmp_path.glob("converted*"))
    assert report.kind == "VotingClassifier"
    assert report.native.row_seconds > 0
    assert "it was tried on made-up rows" in report.warnings[0]


def test_a_function_in_a_pipeline_is_no_graph(tmp_path: Path) -> None:
    own = make_pipeline(FunctionTransformer(np.log1p), Ridge()).fit(
        np.abs(DIABETES[0]), IRIS[1][:1].repeat(442)
    )
    report = converted(pickled(own, tmp_path), "pickle", np.abs(DIABETES[0]).tolist())
    assert not report.parity.agreed
    assert report.parity.reason


def test_a_sample_of_other_inputs_is_refused(tmp_path: Path) -> None:
    path = pickled(LogisticRegression(max_iter=1000).fit(*IRIS), tmp_path)
    with pytest.raises(Invalid, match=r"shape \[1, 3\], expected \[-1, 4\]"):
        converted(path, "pickle", [[1, 2, 3]])


def test_gaps_go_the_way_that_they_go_in_a_forest(tmp_path: Path) -> None:
    rows, target = np.array(CANCER[0]), CANCER[1]
    rows[::5, ::3] = np.nan
    own = RandomForestClassifier(10, random_state=0).fit(rows, target)
    report = converted(pickled(own, tmp_path), "pickle")
    assert report.parity.agreed, report.parity
    answer = served(tmp_path, report, {"features": rows.astype(np.float32)})
    np.testing.assert_allclose(answer["probabilities"], own.predict_proba(rows), atol=1e-5)


def test_a_graph_that_knows_no_gaps_is_not_served(tmp_path: Path) -> None:
    own = IsolationForest(n_estimators=5, random_state=0).fit(DIABETES[0])
    report = converted(pickled(own, tmp_path), "pickle", DIABETES[0].tolist())
    assert report.signature.inputs[0].nullable
    assert not report.parity.agreed
    assert "'label' is the same in" in report.parity.reason
