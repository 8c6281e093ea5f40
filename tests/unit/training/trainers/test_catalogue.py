import dataclasses
from typing import Any

import pytest

from modelyard.core.errors import Invalid
from modelyard.training.pixels import PictureSize
from modelyard.training.spec import AUTO, TaskKind
from modelyard.training.trainers.algorithm import Fit, Reads
from modelyard.training.trainers.catalogue import ALGORITHMS, candidates
from modelyard.training.trainers.word2vec_linear import READING

PICTURE = PictureSize(8, 8, 1)

NAMED = {TaskKind.TAGGING, TaskKind.TRANSLATION}
"""Tasks for which there is nothing to compare: their algorithms are asked for by name."""


def test_auto_means_every_algorithm_that_can_do_the_task() -> None:
    names = {
        task: [a.name for a in candidates(AUTO, task)] for task in TaskKind if task not in NAMED
    }
    last = ["svm", "random_forest", "gradient_boosting", "lightgbm", "mlp"]
    assert names[TaskKind.CLASSIFICATION] == ["logistic_regression", "ridge", "naive_bayes", *last]
    assert names[TaskKind.REGRESSION] == ["linear", "ridge", "elastic_net", *last]


def test_pictures_have_algorithms_of_their_own() -> None:
    tried = candidates(AUTO, TaskKind.CLASSIFICATION, images=True)
    assert [a.name for a in tried] == ["logistic_regression", "cnn"]
    assert candidates("cnn", TaskKind.CLASSIFICATION, images=True) == (ALGORITHMS["cnn"],)
    with pytest.raises(Invalid, match="'cnn' learns from pictures, and there are none"):
        candidates("cnn", TaskKind.CLASSIFICATION)


@pytest.mark.parametrize("task", NAMED)
def test_auto_says_what_to_name_where_it_tries_nothing(task: TaskKind) -> None:
    with pytest.raises(Invalid, match=f"'auto' tries nothing for {task}: name one of "):
        candidates(AUTO, task)


def test_what_is_not_installed_is_not_tried_and_says_so_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lightgbm = ALGORITHMS["lightgbm"]
    absent = dataclasses.replace(lightgbm, library="a_library_that_nobody_has")
    monkeypatch.setitem(ALGORITHMS, "lightgbm", absent)
    tried = candidates(AUTO, TaskKind.REGRESSION)
    assert absent not in tried
    assert ALGORITHMS["linear"] in tried
    with pytest.raises(Invalid, match=r"pip install 'modelyard\[a_library_that_nobody_has\]'"):
        candidates("lightgbm", TaskKind.REGRESSION)


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "catboost",
            TaskKind.REGRESSION,
            "there is no algorithm 'catboost'; there are: auto, linear",
        ),
        (
            "linear",
            TaskKind.CLASSIFICATION,
            "'linear' does not do classification; these do: logistic_regression, ridge",
        ),
        ("logistic_regression", TaskKind.REGRESSION, "does not do regression; these do: linear"),
    ],
)
def test_an_algorithm_that_will_not_do(name: str, task: TaskKind, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        candidates(name, task)


@pytest.mark.parametrize(
    ("algorithm", "given", "taken"),
    [
        (
            "svm",
            {"C": 2, "gamma": "scale", "kernel": None},
            {"C": 2, "gamma": "scale", "kernel": None},
        ),
        ("mlp", {"hidden_layer_sizes": [8, 4]}, {"hidden_layer_sizes": (8, 4)}),
        ("mlp", {"hidden_layer_sizes": 8}, {"hidden_layer_sizes": (8,)}),
        ("mlp", {"early_stopping": True}, {"early_stopping": True}),
        ("random_forest", {"max_depth": None}, {"max_depth": None}),
    ],
)
def test_parameters_pass_through(
    algorithm: str, given: dict[str, Any], taken: dict[str, Any]
) -> None:
    assert ALGORITHMS[algorithm].check(given, TaskKind.CLASSIFICATION) == taken


@pytest.mark.parametrize(
    ("algorithm", "given", "message"),
    [
        ("svm", {"depth": 3}, "'svm' has no parameter 'depth'; it takes: C, class_weight, coef0"),
        ("svm", {"C": 0}, "parameter 'C' is '0', expected a number from 1e-09 to 1e"),
        ("svm", {"C": float("nan")}, "parameter 'C' is 'nan'"),
        ("svm", {"C": "big"}, "parameter 'C' is 'big'"),
        ("svm", {"C": True}, "parameter 'C' is 'True'"),
        ("svm", {"C": None}, "parameter 'C' is 'None'"),
        ("svm", {"kernel": "magic"}, "expected 'linear' or 'rbf' or 'poly' or 'sigmoid' or null"),
        ("random_forest", {"n_estimators": 10**6}, "a whole number from 1 to 2000"),
        ("random_forest", {"n_estimators": 10.5}, "a whole number from 1 to 2000"),
        ("random_forest", {"n_estimators": [10]}, "a whole number from 1 to 2000"),
        ("mlp", {"hidden_layer_sizes": []}, "takes a list of 1 to 8 values"),
        ("mlp", {"hidden_layer_sizes": [8, 0]}, "parameter 'hidden_layer_sizes' is '0'"),
        ("mlp", {"early_stopping": 1}, "expected true or false"),
    ],
)
def test_parameters_out_of_bounds(algorithm: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        ALGORITHMS[algorithm].check(given, TaskKind.CLASSIFICATION)


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name, one in ALGORITHMS.items() for task in one.tasks]
)
def test_every_parameter_is_one_of_the_estimator_s(name: str, task: TaskKind) -> None:
    algorithm = ALGORITHMS[name]
    known = {
        name.rpartition("__")[2]
        for sparse in (False, True)
        for name in algorithm.build(
            Fit(task, rows=100, width=4, seed=7, rarest=20, sparse=sparse, picture=PICTURE)
        ).get_params()
    }
    if algorithm.reads in (Reads.TEXT, Reads.SEQUENCE, Reads.SENTENCE):
        # Those of the preparation, and how strong a linear model is held back, either way.
        known |= {*READING, "C", "target_tokens"}
    only_of_the_other_task = {"class_weight", "epsilon"}
    assert set(algorithm.parameters) - only_of_the_other_task <= known


@pytest.mark.parametrize(
    "name", [name for name, one in ALGORITHMS.items() if "class_weight" in one.parameters]
)
def test_numbers_have_no_classes_to_weigh(name: str) -> None:
    algorithm = ALGORITHMS[name]
    assert algorithm.check({"class_weight": "balanced"}, TaskKind.CLASSIFICATION)
    with pytest.raises(Invalid, match="'class_weight' is for classes, and regression has none"):
        algorithm.check({"class_weight": None}, TaskKind.REGRESSION)


@pytest.mark.parametrize("name", [name for name, one in ALGORITHMS.items() if one.space])
def test_tuning_looks_within_the_bounds_of_each_parameter(name: str) -> None:
    algorithm = ALGORITHMS[name]
    for parameter, axis in algorithm.space.items():
        ends = [int(end) if axis.whole else float(end) for end in (axis.low, axis.high)]
        for value in axis.choices or ends:
            algorithm.check({parameter: value}, min(algorithm.tasks))


def test_what_is_set_is_not_tuned() -> None:
    assert set(ALGORITHMS["elastic_net"].axes({"alpha"})) == {"l1_ratio"}
    with pytest.raises(Invalid, match="'ridge' has no parameter to tune that is not set already"):
        ALGORITHMS["ridge"].axes({"alpha"})


def test_work_is_bounded_by_rows_and_by_cells() -> None:
    forest = ALGORITHMS["random_forest"]
    assert forest.row_limit(1) == 200_000
    assert forest.row_limit(1000) == 20_000
    assert forest.row_limit(10**7) == 1000


def test_many_rows_get_a_linear_machine_unless_a_kernel_is_asked_for() -> None:
    svm = ALGORITHMS["svm"]

    def kind(**fit: Any) -> str:
        machine = svm.build(Fit(TaskKind.CLASSIFICATION, width=4, seed=0, **fit))
        return type(machine.estimator if hasattr(machine, "estimator") else machine).__name__

    assert kind(rows=1000, rarest=20) == "SVC"
    assert kind(rows=1000, rarest=1) == "SVC"
    assert kind(rows=20_000, rarest=20) == "LinearSVC"
    assert kind(rows=1000, rarest=20, sparse=True) == "LinearSVC"
    assert kind(rows=20_000, rarest=20, parameters={"kernel": "rbf"}) == "SVC"


def test_what_predicts_is_not_asked_to_find_clusters_or_anomalies() -> None:
    for task, names in (
        (TaskKind.CLUSTERING, ["k_means"]),
        (TaskKind.ANOMALY_DETECTION, ["isolation_forest"]),
    ):
        assert [one.name for one in candidates(AUTO, task)] == names
        with pytest.raises(Invalid, match=f"'ridge' does not do {task}; these do: {names[0]}"):
            candidates("ridge", task)
