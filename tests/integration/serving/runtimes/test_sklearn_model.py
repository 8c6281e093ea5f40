"""scikit-learn's files, saved as their users save them, against the estimators' own answers."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.runtimes.contract import CannotLoad
from tests.integration.serving.runtimes.folder import loaded, signature_of, texts


def save_pickle(model: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(model))


def save_compressed(model: Any, path: Path) -> None:
    joblib.dump(model, path, compress=3)


SAVED: dict[str, tuple[str, Callable[[Any, Path], Any]]] = {
    "pickle": ("pickle", save_pickle),
    "joblib": ("joblib", joblib.dump),
    "compressed": ("joblib", save_compressed),
    "skops": ("skops", skops.io.dump),
}


@pytest.fixture(scope="module")
def iris() -> tuple[Any, Any]:
    rows, target = load_iris(return_X_y=True)
    return rows.astype(np.float32), target


@pytest.fixture(scope="module")
def forest(iris: tuple[Any, Any]) -> RandomForestClassifier:
    return RandomForestClassifier(10, random_state=0, n_jobs=2).fit(*iris)


@pytest.mark.parametrize("way", SAVED)
def test_every_way_of_saving_answers_as_the_estimator(
    way: str, forest: Any, iris: tuple[Any, Any], tmp_path: Path
) -> None:
    format_, save = SAVED[way]
    save(forest, tmp_path / "model")
    model = loaded(tmp_path / "model", format_)
    assert (
        signature_of(model)
        == Signature(
            (TensorSpec("features", Datatype.FP32, (-1, 4)),),
            (
                TensorSpec("label", Datatype.INT64, (-1,)),
                TensorSpec("probabilities", Datatype.FP32, (-1, 3), ("0", "1", "2")),
            ),
        )
        or signature_of(model).inputs[0].nullable
    )
    for rows in (iris[0][:1], iris[0]):
        answer = model.infer({"features": rows})
        np.testing.assert_array_equal(answer["label"], forest.predict(rows))
        np.testing.assert_allclose(
            answer["probabilities"], forest.predict_proba(rows), rtol=1e-6, atol=1e-7
        )
    assert model.stackable
    assert 0 < model.row_seconds < 1


def test_a_regression_gives_a_prediction(tmp_path: Path) -> None:
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    own = make_pipeline(StandardScaler(), LinearRegression()).fit(rows, target)
    save_pickle(own, tmp_path / "model")
    model = loaded(tmp_path / "model", "pickle")
    (features,) = signature_of(model).inputs
    assert features.columns == tuple(rows.columns)
    assert not features.nullable
    answer = model.infer({"features": rows.to_numpy(np.float32)})
    np.testing.assert_allclose(answer["prediction"], own.predict(rows), rtol=1e-5)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [20.0, 35.0, np.nan, 50.0] * 10,
            "city": ["Bern", "Oslo", None, "Rome"] * 10,
            "note": ["likes tea", "drinks coffee", "nothing", "tea and coffee"] * 10,
        }
    )


@pytest.fixture(scope="module")
def mixed(people: pd.DataFrame) -> Any:
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            (
                "places",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
                ),
                ["city"],
            ),
            ("notes", TfidfVectorizer(), "note"),
        ]
    )
    target = ["yes", "no", "yes", "no"] * 10
    return make_pipeline(prepare, LogisticRegression()).fit(people, target)


def test_columns_of_a_frame_become_a_tensor_each(
    mixed: Any, people: pd.DataFrame, tmp_path: Path
) -> None:
    joblib.dump(mixed, tmp_path / "model")
    model = loaded(tmp_path / "model", "joblib")
    signature = signature_of(model)
    assert [(s.name, s.datatype, s.nullable) for s in signature.inputs] == [
        ("age", Datatype.FP32, True),
        ("city", Datatype.BYTES, True),
        ("note", Datatype.BYTES, False),
    ]
    assert [s.name for s in signature.outputs] == ["label", "probabilities"]
    answer = model.infer(
        {
            "age": people["age"].to_numpy(np.float32),
            "city": texts(*people["city"].fillna("")),
            "note": texts(*people["note"]),
        }
    )
    assert answer["label"].tolist() == mixed.predict(people).tolist()
    np.testing.assert_allclose(answer["probabilities"], mixed.predict_proba(people), rtol=1e-5)


def test_a_search_answers_as_its_best_estimator(
    mixed: Any, people: pd.DataFrame, tmp_path: Path
) -> None:
    search = GridSearchCV(mixed, {"logisticregression__C": [0.1, 1]}, cv=2)
    search.fit(people, ["yes", "no", "yes", "no"] * 10)
    joblib.dump(search, tmp_path / "model")
    names = [spec.name for spec in signature_of(loaded(tmp_path / "model", "joblib")).inputs]
    assert names == ["age", "city", "note"]


def test_a_pipeline_that_begins_with_text_takes_text(tmp_path: Path) -> None:
    said = ["good film", "bad film", "good book", "bad book"]
    own = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(said, ["+", "-", "+", "-"])
    save_pickle(own, tmp_path / "model")
    model = loaded(tmp_path / "model", "pickle")
    assert signature_of(model).inputs == (TensorSpec("text", Datatype.BYTES, (-1,)),)
    assert [s.name for s in signature_of(model).outputs] == ["label"]
    answer = model.infer({"text": texts("a good one", "a bad one")})
    assert answer["label"].tolist() == own.predict(["a good one", "a bad one"]).tolist()


def test_missing_numbers_are_taken_by_those_that_take_them(
    iris: tuple[Any, Any], tmp_path: Path
) -> None:
    save_pickle(HistGradientBoostingClassifier(max_iter=3).fit(*iris), tmp_path / "yes")
    save_pickle(LogisticRegression(max_iter=300).fit(*iris), tmp_path / "no")
    taking, refusing = loaded(tmp_path / "yes", "pickle"), loaded(tmp_path / "no", "pickle")
    assert signature_of(taking).inputs[0].nullable
    assert not signature_of(refusing).inputs[0].nullable
    gap = np.full((1, 4), np.nan, np.float32)
    assert taking.infer({"features": gap})["label"].shape == (1,)
    with pytest.raises(Invalid, match=r"the model refused the input: ValueError: .*NaN"):
        refusing.infer({"features": gap})


@pytest.mark.parametrize("target", [["a", "b", "c"], [True, False, True], [1.0, 2.0, 1.0]])
def test_labels_keep_their_type(target: list[Any], tmp_path: Path) -> None:
    own = LogisticRegression().fit([[0.0], [1.0], [2.0]], target)
    save_pickle(own, tmp_path / "model")
    answer = loaded(tmp_path / "model", "pickle").infer({"features": np.ones((1, 1), np.float32)})
    assert answer["label"].tolist() == own.predict([[1.0]]).tolist()


def test_clusters_and_projections_are_served(iris: tuple[Any, Any], tmp_path: Path) -> None:
    rows = iris[0]
    clusters, projection = KMeans(3, n_init=1, random_state=0).fit(rows), PCA(2).fit(rows)
    save_pickle(clusters, tmp_path / "clusters")
    save_pickle(projection, tmp_path / "projection")
    answer = loaded(tmp_path / "clusters", "pickle").infer({"features": rows})
    assert answer["label"].tolist() == clusters.predict(rows).tolist()
    answer = loaded(tmp_path / "projection", "pickle").infer({"features": rows})
    np.testing.assert_allclose(answer["transformed"], projection.transform(rows), atol=1e-5)


def test_a_signature_that_was_declared_is_kept(
    forest: Any, iris: tuple[Any, Any], tmp_path: Path
) -> None:
    save_pickle(forest, tmp_path / "model")
    declared = Signature(
        (TensorSpec("x", Datatype.FP64, (-1, 4)),), (TensorSpec("label", Datatype.INT32, (-1,)),)
    )
    model = loaded(tmp_path / "model", "pickle", declared)
    assert model.signature == declared
    answer = model.infer({"x": iris[0].astype(np.float64)})
    assert list(answer) == ["label"]
    assert answer["label"].dtype == np.int32


def test_wrong_inputs_are_the_callers_mistake(mixed: Any, forest: Any, tmp_path: Path) -> None:
    save_pickle(forest, tmp_path / "model")
    model = loaded(tmp_path / "model", "pickle")
    with pytest.raises(Invalid, match="the model refused the input: ValueError: X has 3 features"):
        model.infer({"features": np.zeros((1, 3), np.float32)})
    with pytest.raises(Invalid, match="the model refused the input"):
        model.infer({})


class _Gone:
    """Pickled by reference, and then not to be found."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (__import__, ("a_module_that_is_not_there",))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (pickle.dumps({"weights": [1]}), "holds a builtins.dict, which has neither 'predict'"),
        (b"", "cannot be read: EOFError"),
        (b"\x80\x04nonsense", "cannot be read"),
        (pickle.dumps(_Gone()), "needs the Python module 'a_module_that_is_not_there'"),
        (b"c__main__\nMyModel\n.", "refers to code that is not in it"),
    ],
)
def test_what_is_no_estimator_says_what_it_is(data: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(CannotLoad, match=problem):
        loaded(tmp_path / "model", "pickle")


def test_a_model_of_another_release_is_served_with_a_note(forest: Any, tmp_path: Path) -> None:
    data = pickle.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    import sklearn

    (tmp_path / "model").write_bytes(data.replace(sklearn.__version__.encode(), b"1.0.2"))
    model = loaded(tmp_path / "model", "pickle")
    assert "from version 1.0.2" in model.notes[0]


def test_an_unloaded_model_answers_no_more(forest: Any, tmp_path: Path) -> None:
    save_pickle(forest, tmp_path / "model")
    model = loaded(tmp_path / "model", "pickle")
    parts = list(model.stream({"features": np.zeros((2, 4), np.float32)}))
    assert [part["label"].shape for part in parts] == [(2,)]
    model.unload()
    with pytest.raises(Invalid, match="unloaded"):
        model.infer({"features": np.zeros((1, 4), np.float32)})
