"""Training from a table to a served form, as the worker's child runs it."""

from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tasks import RESULT_FILE, SPEC_FILE, Progress
from modelyard.core.tensors import Datatype, TensorSpec
from modelyard.registry.artifact import Format
from modelyard.serving.runtimes.onnx import OnnxRuntime, open_session
from modelyard.serving.runtimes.text import TextFeatures
from modelyard.training.spec import AUTO, TaskKind
from modelyard.training.tasks import TABLE_FILE, train
from modelyard.training.trained import Trained
from modelyard.training.trainers.algorithm import Reads
from modelyard.training.trainers.catalogue import ALGORITHMS, candidates
from tests.integration.training.tables import bundled, customers, reviews

FOR_TABLES = [a for a in ALGORITHMS.values() if a.reads is Reads.TABLE]
CLASSIFIERS = [a.name for a in FOR_TABLES if TaskKind.CLASSIFICATION in a.tasks]
REGRESSORS = [a.name for a in FOR_TABLES if TaskKind.REGRESSION in a.tasks]
LESS = {"naive_bayes": 0.3, "decision_tree": 0.3, "nearest_neighbours": 0.05}
"""How much these may stay behind the others on tables that do not suit them."""
TRIED = [a.name for a in candidates(AUTO, TaskKind.CLASSIFICATION)]


class Run:
    """One training in a folder of its own."""

    def __init__(self, folder: Path, frame: pl.DataFrame, **spec: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.story: list[Progress] = []
        frame.write_parquet(folder / TABLE_FILE)
        spec = {"table": TABLE_FILE, "target": "target", **spec}
        (folder / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
        train(folder, self.story.append)
        self.result = msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=Trained)

    def served(self) -> OnnxRuntime:
        """The model as the gateway loads it."""
        formats = {one.format: self.folder / one.name for one in self.result.artifacts}
        features = None
        if Format.FEATURES in formats:
            features = TextFeatures.load(formats[Format.FEATURES].read_bytes())
        session = open_session(formats[Format.ONNX].read_bytes())
        return OnnxRuntime(session, self.result.signature, features)

    def features(self) -> dict[str, Any]:
        """What is made ready in front of the graph, as it was written."""
        data = (self.folder / "features.json").read_bytes()
        return msgspec.json.decode(data, type=dict[str, Any])

    def predict(self, **inputs: Any) -> dict[str, list[Any]]:
        tensors = {
            name: np.array(values, dtype=np.object_ if isinstance(values[0], str) else np.float32)
            for name, values in inputs.items()
        }
        self.result.signature.check(tensors)
        return {name: value.tolist() for name, value in self.served().infer(tensors).items()}


@pytest.mark.parametrize("algorithm", CLASSIFIERS)
@pytest.mark.parametrize(
    ("table", "least"), [("iris", 0.8), ("breast_cancer", 0.93), ("customers", 0.75)]
)
def test_every_classifier_trains_converts_and_agrees(
    tmp_path: Path, table: str, least: float, algorithm: str
) -> None:
    frame = customers() if table == "customers" else bundled(table)
    result = Run(tmp_path, frame, algorithm=algorithm).result
    assert result.card.algorithm == algorithm
    assert result.card.metrics["accuracy"] >= least - LESS.get(algorithm, 0.0)
    assert result.parity.agreed, result.parity.reason
    assert result.parity.rows > result.card.test_rows
    assert result.parity.label_agreement == 1.0
    assert (result.parity.largest_difference is None) == (algorithm == "ridge")
    assert (result.parity.largest_difference or 0.0) < 1e-5


@pytest.mark.parametrize(
    "algorithm", ["logistic_regression", "ridge", "naive_bayes", "mlp", "svm", "decision_tree"]
)
def test_classes_may_be_whole_numbers_of_64_bits(tmp_path: Path, algorithm: str) -> None:
    classes = pl.col("target").rank("dense").cast(pl.Int64) + 2**40
    run = Run(tmp_path, bundled("iris").with_columns(classes), algorithm=algorithm)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.predict(features=[[5.1, 3.5, 1.4, 0.2]])["label"] == [2**40 + 1]


def test_boosted_trees_of_one_leaf_give_the_likelier_class(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=60)
    frame = pl.DataFrame({"x": noise, "target": ["b"] * 27 + ["c"] * 33})
    parameters = {"n_estimators": 3, "min_samples_leaf": 40}
    run = Run(tmp_path, frame, algorithm="gradient_boosting", parameters=parameters)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.predict(features=[[0.0]])["label"] == ["c"]


@pytest.mark.parametrize("algorithm", REGRESSORS)
@pytest.mark.parametrize(("table", "least"), [("diabetes", 0.05), ("customers", 0.6)])
def test_every_regressor_trains_converts_and_agrees(
    tmp_path: Path, table: str, least: float, algorithm: str
) -> None:
    frame = customers(number=True) if table == "customers" else bundled(table)
    result = Run(tmp_path, frame, algorithm=algorithm).result
    assert result.card.metrics["r2"] >= least - LESS.get(algorithm, 0.0)
    if (algorithm, table) == ("nearest_neighbours", "customers"):
        # Of two rows that are equally near each form takes another one: it is served as it came.
        assert not result.parity.agreed
        return
    assert result.parity.agreed, result.parity.reason
    assert result.parity.largest_difference is not None
    assert result.signature.outputs == (TensorSpec("prediction", Datatype.FP32, (-1,)),)


@pytest.mark.parametrize("number", [True, False])
def test_a_large_table_is_boosted_on_histograms_and_gaps_are_taken(
    tmp_path: Path, number: bool
) -> None:
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(13_000, 3))
    value = matrix[:, 0] * 2 + matrix[:, 1] ** 2
    matrix[generator.random(matrix.shape) < 0.02] = np.nan
    frame = pl.DataFrame(matrix, schema=["a", "b", "c"], orient="row", nan_to_null=True)
    target = pl.Series("target", value)
    frame = frame.with_columns(target if number else (target > 1).cast(pl.String))
    parameters = {"n_estimators": 30, "max_depth": 4, "n_iter_no_change": None}
    run = Run(tmp_path, frame, algorithm="gradient_boosting", parameters=parameters)
    pipeline = joblib.load(run.folder / "native.joblib")
    assert type(pipeline.named_steps["model"]).__name__.startswith("HistGradientBoosting")
    assert run.result.card.train_rows == 10_400
    assert run.result.card.metrics["r2" if number else "accuracy"] > 0.85
    assert run.result.parity.agreed, run.result.parity.reason


@pytest.mark.parametrize("number", [True, False])
def test_neighbours_may_count_by_their_distance(tmp_path: Path, number: bool) -> None:
    run = Run(
        tmp_path,
        customers(number=number),
        algorithm="nearest_neighbours",
        parameters={"weights": "distance", "n_neighbors": 9},
    )
    assert run.result.parity.agreed, run.result.parity.reason


def test_an_l1_penalty_leaves_out_what_does_not_matter(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        bundled("breast_cancer"),
        algorithm="logistic_regression",
        parameters={"l1_ratio": 1.0, "C": 0.02, "max_iter": 5000},
    )
    pipeline = joblib.load(run.folder / "native.joblib")
    used = np.count_nonzero(pipeline.named_steps["model"].coef_)
    assert 1 <= used <= 10
    assert run.result.parity.agreed, run.result.parity.reason


def test_numbers_make_one_tensor_and_the_native_pipeline_says_the_same(tmp_path: Path) -> None:
    run = Run(tmp_path, bundled("iris"), algorithm="logistic_regression")
    columns = tuple(bundled("iris").columns[:4])
    assert run.result.signature.inputs == (
        TensorSpec("features", Datatype.FP32, (-1, 4), columns, nullable=True),
    )
    assert run.result.signature.outputs == (
        TensorSpec("label", Datatype.BYTES, (-1,)),
        TensorSpec("probabilities", Datatype.FP32, (-1, 3), ("setosa", "versicolor", "virginica")),
    )
    rows = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5], [np.nan] * 4]
    answer = run.predict(features=rows)
    assert answer["label"][:2] == ["setosa", "versicolor"]
    pipeline = joblib.load(run.folder / "native.joblib")
    frame = pl.DataFrame(np.array(rows, dtype=np.float32), schema=columns, orient="row")
    np.testing.assert_allclose(answer["probabilities"], pipeline.predict_proba(frame), atol=1e-6)


def test_mixed_columns_make_one_tensor_each_and_missing_values_are_taken(tmp_path: Path) -> None:
    run = Run(tmp_path, customers(), algorithm="random_forest")
    assert [(one.name, one.datatype) for one in run.result.signature.inputs] == [
        ("age", Datatype.FP32),
        ("income", Datatype.FP32),
        ("plan", Datatype.BYTES),
        ("region", Datatype.BYTES),
        ("active", Datatype.FP32),
    ]
    assert all(one.shape == (-1,) and one.nullable for one in run.result.signature.inputs)
    answer = run.predict(
        age=[79.0, 19.0, np.nan],
        income=[90_000.0, 8_000.0, np.nan],
        plan=["basic", "pro", "unheard of"],
        region=["region 1", "region 2", ""],
        active=[0.0, 1.0, np.nan],
    )
    assert answer["label"][:2] == ["true", "false"]
    assert np.isfinite(answer["probabilities"]).all()


@pytest.mark.parametrize("name", ["label", "probabilities", "graph.1", "features"])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    frame = customers().rename({"plan": name})
    result = Run(tmp_path, frame, algorithm="logistic_regression").result
    assert result.parity.agreed, result.parity.reason
    names = [one.name for one in (*result.signature.inputs, *result.signature.outputs)]
    assert len(set(names)) == len(names)


def test_classes_may_be_any_whole_numbers(tmp_path: Path) -> None:
    codes = {"setosa": -5, "versicolor": 0, "virginica": 700}
    frame = bundled("iris").with_columns(pl.col("target").replace_strict(codes))
    run = Run(tmp_path, frame, algorithm="mlp")
    assert run.result.signature.outputs[0] == TensorSpec("label", Datatype.INT64, (-1,))
    assert run.result.signature.outputs[1].columns == ("-5", "0", "700")
    assert run.predict(features=[[5.1, 3.5, 1.4, 0.2]])["label"] == [-5]


@pytest.mark.parametrize("algorithm", ["logistic_regression", "naive_bayes", "svm", "ridge"])
def test_text_is_served_without_scikit_learn(tmp_path: Path, algorithm: str) -> None:
    run = Run(tmp_path, reviews(), target="verdict", algorithm=algorithm, exclude=["stars"])
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.signature.inputs == (
        TensorSpec("review", Datatype.BYTES, (-1,), nullable=True),
    )
    assert {one.format for one in run.result.artifacts} == {
        Format.ONNX,
        Format.FEATURES,
        Format.JOBLIB,
    }
    answer = run.predict(review=["A wonderful, funny film!", "a WOODEN cast and awful music", ""])
    assert answer["label"][:2] == ["praise", "blame"]


@pytest.mark.parametrize("algorithm", ["linear", "random_forest"])
def test_dates_show_trend_and_season_and_are_sent_as_they_are_written(
    tmp_path: Path, algorithm: str
) -> None:
    days = pl.datetime_range(
        pl.datetime(2023, 1, 1), pl.datetime(2025, 5, 31), "1d", time_unit="us", eager=True
    )
    season = np.cos(2 * np.pi * days.dt.ordinal_day().to_numpy() / 365.2425)
    sold = 100 + 30 * season + np.arange(len(days)) * 0.1
    frame = pl.DataFrame({"day": days, "open": [True, False] * (len(days) // 2), "target": sold})
    frame = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 50 == 7).then(None).otherwise(pl.col("day")).alias("day")
    )
    run = Run(tmp_path, frame, algorithm=algorithm)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.card.metrics["r2"] > 0.8
    assert run.result.signature.inputs[0] == TensorSpec("day", Datatype.BYTES, (-1,), nullable=True)
    days_sent = ["2024-01-05", "2024-07-05T00:00:00Z", ""]
    winter, summer, _ = run.predict(day=days_sent, open=[1.0, 1.0, np.nan])["prediction"]
    assert winter > summer + 30
    with pytest.raises(Invalid, match="input 'day' is 'soon' in row 0; expected a date"):
        run.predict(day=["soon"], open=[1.0])


def test_text_stands_beside_numbers_in_classification_and_regression(tmp_path: Path) -> None:
    verdict = Run(tmp_path / "a", reviews(), target="verdict", algorithm="mlp").result
    assert [one.name for one in verdict.signature.inputs] == ["review", "stars"]
    assert verdict.parity.agreed, verdict.parity.reason
    stars = Run(tmp_path / "b", reviews(), target="stars", algorithm="ridge", task="regression")
    assert stars.result.parity.agreed, stars.result.parity.reason
    assert stars.result.card.metrics["r2"] > 0.5


def test_auto_compares_all_on_the_same_folds_and_tells_its_story(tmp_path: Path) -> None:
    run = Run(tmp_path, bundled("wine"), folds=3)
    card = run.result.card
    assert sorted(one.algorithm for one in card.leaderboard) == sorted(TRIED)
    scores = [one.score for one in card.leaderboard]
    assert scores == sorted(scores, key=lambda score: -(score or 0.0))
    assert card.algorithm == card.leaderboard[0].algorithm
    assert card.metrics["accuracy"] > 0.9
    assert card.confusion is not None
    assert np.sum(card.confusion.counts) == card.test_rows == 36
    fractions = [line.fraction for line in run.story]
    assert fractions == sorted(fractions, key=lambda fraction: fraction or 0.0)
    folds = [line.data for line in run.story if "fold" in line.data]
    assert len(folds) == 3 * len(TRIED)
    assert set(folds[0]) == {"algorithm", "fold", "metric", "score"}


def test_auto_on_text_compares_what_suits_it(tmp_path: Path) -> None:
    card = Run(tmp_path, reviews(), target="verdict").result.card
    suited = {"ridge", "logistic_regression", "naive_bayes", "svm"}
    assert {one.algorithm for one in card.leaderboard} == suited
    assert any("not tried on text" in warning for warning in card.warnings)


def test_a_candidate_that_cannot_be_scored_is_on_the_leaderboard_with_its_error(
    tmp_path: Path,
) -> None:
    board = Run(tmp_path, bundled("iris"), metric="roc_auc", folds=2).result.card.leaderboard
    assert board[-1].algorithm == "ridge"
    assert board[-1].score is None
    assert "gives no probabilities" in board[-1].error


def test_small_errors_win_where_the_metric_is_an_error(tmp_path: Path) -> None:
    card = Run(tmp_path, bundled("diabetes"), metric="rmse", folds=2).result.card
    scores = [one.score for one in card.leaderboard]
    assert scores == sorted(scores, key=lambda score: score or 0.0)


@pytest.mark.parametrize("algorithm", ["svm", "random_forest", "gradient_boosting", "mlp"])
def test_the_same_seed_makes_the_same_model(tmp_path: Path, algorithm: str) -> None:
    runs = [
        Run(tmp_path / str(number), bundled("iris"), algorithm=algorithm, seed=seed)
        for number, seed in enumerate((5, 5, 6))
    ]
    graphs = [(run.folder / "model.onnx").read_bytes() for run in runs]
    assert graphs[0] == graphs[1] != graphs[2]
    assert runs[0].result == runs[1].result


def test_what_was_asked_for_is_what_was_trained(tmp_path: Path) -> None:
    result = Run(
        tmp_path,
        bundled("iris"),
        algorithm="random_forest",
        parameters={"n_estimators": 7, "max_depth": 3},
        include=["petal length (cm)", "petal width (cm)"],
        test_fraction=0.3,
        seed=11,
    ).result
    assert result.parameters["n_estimators"] == 7
    assert result.parameters["max_depth"] == 3
    assert result.parameters["random_state"] == result.seed == 11
    assert result.card.features == ("petal length (cm)", "petal width (cm)")
    assert (result.card.train_rows, result.card.test_rows) == (105, 45)
    assert set(result.libraries) >= {"scikit-learn", "onnxruntime"}


def test_rare_classes_and_missing_targets_are_told_of_and_survive(tmp_path: Path) -> None:
    row = pl.int_range(pl.len())
    rare = pl.when(row < 3).then(pl.lit("rare")).when(row == 3).then(pl.lit("lone"))
    frame = bundled("iris").with_columns(
        target=rare.when(row < 9).then(None).otherwise(pl.col("target"))
    )
    for algorithm in ("svm", "mlp", "gradient_boosting"):
        result = Run(tmp_path / algorithm, frame, algorithm=algorithm).result
        assert result.parity.agreed, result.parity.reason
        assert result.card.metric == "f1"
        assert result.card.warnings[:2] == (
            "5 rows have no 'target' and were left out",
            "1 rows with a class that no other row has were left out",
        )


def test_more_rows_than_an_algorithm_is_good_for_are_sampled(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    wide = dice.normal(size=(3000, 1000)).astype(np.float32)
    frame = pl.DataFrame(wide).with_columns(target=pl.Series(wide[:, 0] > 0))
    result = Run(tmp_path, frame, algorithm="nearest_neighbours").result
    assert result.card.train_rows == 2000
    assert "nearest_neighbours was trained on a sample of 2000 rows" in result.card.warnings
    assert result.parity.agreed, result.parity.reason


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"target": "nope"}, "there is no target column 'nope'"),
        ({"algorithm": "catboost"}, "there is no algorithm 'catboost'"),
        ({"algorithm": "linear"}, "'linear' does not do classification"),
        ({"parameters": {"C": 1}}, "parameters belong to one algorithm"),
        ({"algorithm": "svm", "parameters": {"C": -1}}, "parameter 'C' is '-1'"),
        ({"metric": "rmse"}, "there is no metric 'rmse' for classification; there are: accuracy"),
        ({"folds": 1}, r"not valid: Expected `int` >= 2 - at `\$.folds`"),
        ({"table": "../x"}, r"not valid: .* at `\$.table`"),
        ({"colour": "red"}, "not valid: Object contains unknown field `colour`"),
    ],
)
def test_a_specification_that_does_not_fit_is_refused(
    tmp_path: Path, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        Run(tmp_path, bundled("iris"), **spec)
    assert not (tmp_path / RESULT_FILE).exists()


def test_targets_that_cannot_be_served_are_left_out(tmp_path: Path) -> None:
    frame = bundled("diabetes").head(60)
    target = pl.when(pl.int_range(pl.len()) % 6 == 0).then(1e300).otherwise("target")
    run = Run(tmp_path, frame.with_columns(target.alias("target")), algorithm="decision_tree")
    assert run.result.parity.agreed, run.result.parity.reason
    assert "10 rows with an infinite target, or one beyond float32 were left out" in (
        run.result.card.warnings
    )


def test_rows_that_are_left_without_a_time_are_counted(tmp_path: Path) -> None:
    frame = bundled("diabetes").head(12).with_row_index("day")
    times = pl.when(pl.int_range(pl.len()) < 4).then(None).otherwise("day").alias("day")
    with pytest.raises(Invalid, match="'target': 8 rows are left to learn from; at least 10"):
        Run(tmp_path, frame.with_columns(times), algorithm="ridge", time_column="day")


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize(
    "spec",
    [
        {"algorithm": "logistic_regression"},
        {"algorithm": "nearest_neighbours"},
        {"algorithm": "k_means", "target": None},
    ],
)
def test_rows_that_a_model_cannot_answer_fail_the_job_and_say_why(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    # Later rows are so far off that they leave float32 once they are scaled as the earlier ones.
    near = pl.col("sepal length (cm)") * 1e-30
    frame = bundled("iris").sample(fraction=1.0, shuffle=True, seed=0).with_row_index("day")
    frame = frame.with_columns(pl.when(pl.col("day") < 140).then(near).otherwise(1e30).alias("a"))
    with pytest.raises(Invalid, match=r"cannot answer the rows .* infinity"):
        Run(tmp_path, frame, time_column="day", **spec)


def test_what_a_library_refuses_in_its_own_words_fails_the_job_and_says_why(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"algorithm": "lightgbm", "parameters": {"subsample": 0.001}}
    with pytest.raises(Invalid, match="lightgbm cannot be trained: Check failed"):
        Run(tmp_path, bundled("iris").head(60), **spec)


def test_too_few_rows_of_each_class(tmp_path: Path) -> None:
    frame = bundled("iris").head(12).with_columns(target=pl.int_range(pl.len()).cast(pl.String))
    with pytest.raises(ModelyardError, match="12 of 12 rows have a class that no other row has"):
        Run(tmp_path, frame)
