"""Training without a target: clusters and anomalies."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, TensorSpec
from tests.integration.training.tables import bundled, customers, reviews
from tests.integration.training.test_train import Run

UNSUPERVISED = ["k_means", "isolation_forest"]


def blobs() -> pl.DataFrame:
    """Three groups of points, far from each other."""
    dice = np.random.default_rng(3)
    centres = np.repeat([[0, 0], [10, 0], [0, 10]], 60, axis=0)
    return pl.DataFrame(centres + dice.normal(scale=0.5, size=centres.shape), schema=["x", "y"])


@pytest.mark.parametrize("algorithm", UNSUPERVISED)
@pytest.mark.parametrize("table", ["iris", "customers", "reviews"])
def test_what_has_no_target_trains_converts_and_agrees(
    tmp_path: Path, algorithm: str, table: str
) -> None:
    frames = {"customers": customers, "reviews": reviews}
    frame = frames[table]() if table in frames else bundled(table).drop("target")
    result = Run(tmp_path, frame, algorithm=algorithm, target=None).result
    assert result.card.target == ""
    assert result.parity.agreed, result.parity.reason
    assert result.parity.largest_difference is not None
    assert result.parity.largest_difference < 1e-5


def test_clusters_are_found_and_told_with_their_distances(tmp_path: Path) -> None:
    run = Run(tmp_path, blobs(), task="clustering", target=None, parameters={}, algorithm="k_means")
    assert run.result.signature.outputs == (
        TensorSpec("label", Datatype.INT64, (-1,)),
        TensorSpec("distances", Datatype.FP32, (-1, 8)),
    )
    run = Run(tmp_path, blobs(), target=None, algorithm="k_means", parameters={"n_clusters": 3})
    card = run.result.card
    assert (card.task, card.metric) == ("clustering", "silhouette")
    assert card.metrics["silhouette"] > 0.9
    assert card.metrics["davies_bouldin"] < 0.2
    answer = run.predict(features=[[0, 0], [0.2, 0.1], [10, 0], [0, 10]])
    first, same, *others = answer["label"]
    assert first == same
    assert len({first, *others}) == 3
    nearest = np.argmin(answer["distances"], axis=1)
    assert nearest.tolist() == answer["label"]


def test_what_stands_apart_has_a_negative_score(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        blobs(),
        task="anomaly_detection",
        target=None,
        parameters={"contamination": 0.01},
        algorithm="isolation_forest",
    )
    answer = run.predict(features=[[0, 0], [60, -70]])
    assert answer["label"] == [1, -1]
    assert answer["score"][0] > 0 > answer["score"][1]
    assert 0 <= run.result.card.metrics["flagged"] < 0.1


def test_one_column_is_enough_to_stand_apart(tmp_path: Path) -> None:
    run = Run(tmp_path, blobs().select("x"), algorithm="isolation_forest", target=None)
    assert run.result.parity.agreed, run.result.parity.reason


@pytest.mark.parametrize("task", ["clustering", "anomaly_detection"])
def test_auto_needs_the_task_alone(tmp_path: Path, task: str) -> None:
    result = Run(tmp_path, blobs(), task=task, target=None, folds=2).result
    assert result.card.task == task
    assert result.parity.agreed, result.parity.reason


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "no target column; name it, or a task that has none: clustering, anomaly_detection"),
        ({"task": "regression"}, "there is no target column; name it"),
        ({"task": "clustering", "target": "x"}, "clustering has no target: leave it out, and excl"),
        ({"algorithm": "k_means", "task": "anomaly_detection"}, "'k_means' does not do anomaly_d"),
        ({"algorithm": "k_means", "metric": "r2"}, "no metric 'r2' for clustering; there are: sil"),
        ({"algorithm": "k_means", "include": ["x"], "exclude": ["x"]}, "no column is left to lear"),
        (
            {"algorithm": "k_means", "parameters": {"n_clusters": 500}},
            "k_means cannot be trained: n_samples=144 should be >= n_clusters=500",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        Run(tmp_path, blobs(), **{"target": None, **spec})
