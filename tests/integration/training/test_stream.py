"""Tables that are read in parts: the same rows on each side, and models as good as of the whole."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard.adapters.engine.runner import ProcessTaskRunner
from modelyard.adapters.engine.sandbox.detection import detect
from modelyard.adapters.engine.sandbox.sandbox import Sandbox
from modelyard.core.errors import Invalid
from modelyard.core.tasks import SPEC_FILE, Limits, Progress
from modelyard.core.tensors import Datatype
from modelyard.training.outcomes import read_result
from modelyard.training.stream import HELD_ROWS, TableStream
from modelyard.training.tasks import TABLE_FILE
from modelyard.training.trained import Trained
from tests.integration.training.room import MEMORY
from tests.integration.training.tables import bundled, customers, reviews
from tests.integration.training.test_train import Run

LIMIT = 640 << 20
COLUMNS, ROWS, GROUP = 64, 3_600_000, 15_000


def _quiet(_: Progress) -> None:
    """How far a passage is is of no interest here."""


def goodness(run: Run, fresh: pl.DataFrame) -> float:
    """R2 or accuracy of the served form on rows that no model has seen."""
    inputs: dict[str, Any] = {}
    for spec in run.result.signature.inputs:
        values = fresh.get_column(spec.name)
        text = spec.datatype is Datatype.BYTES
        filled = values.fill_null("") if text else values.cast(pl.Float32).fill_null(np.nan)
        inputs[spec.name] = filled.to_list()
    answer, truth = run.predict(**inputs), fresh.get_column("target").to_numpy()
    if "prediction" in answer:
        errors = np.sum((truth - np.array(answer["prediction"])) ** 2)
        return float(1 - errors / np.sum((truth - truth.mean()) ** 2))
    return float(np.mean(np.where(truth, "true", "false") == np.array(answer["label"])))


@pytest.mark.parametrize(
    "algorithm",
    ["linear", "ridge", "lasso", "elastic_net", "logistic_regression", "naive_bayes"],
)
def test_a_stream_teaches_as_much_as_the_whole_table(tmp_path: Path, algorithm: str) -> None:
    number = algorithm not in ("logistic_regression", "naive_bayes")
    frame, fresh = customers(5000, number=number), customers(4000, seed=1, number=number)
    whole = Run(tmp_path / "whole", frame, algorithm=algorithm)
    parts = Run(tmp_path / "parts", frame, algorithm=algorithm, stream=True)
    result = parts.result
    assert result.parity.agreed, result.parity.reason
    assert goodness(parts, fresh) >= goodness(whole, fresh) - 0.01
    assert result.signature == whole.result.signature
    split = result.card.split
    assert split is not None
    assert (split.method, split.train_rows + split.test_rows) == ("hash", 5000)
    assert split.test_rows == pytest.approx(1000, abs=120)
    assert any("learned from" in line and "as a stream" in line for line in result.card.warnings)


def test_texts_and_clusters_are_learned_in_parts(tmp_path: Path) -> None:
    texts = pl.concat([reviews()] * 20).with_row_index("number")
    told = pl.concat_str("review", pl.lit(" Review "), "number")
    texts = texts.select(told.alias("review"), "verdict")
    spec: dict[str, Any] = {"target": "verdict", "algorithm": "logistic_regression"}
    run = Run(tmp_path / "texts", texts, stream=True, **spec)
    assert run.result.parity.agreed, run.result.parity.reason
    answer = run.predict(review=["A wonderful, funny film!", "a WOODEN cast and awful music"])
    assert answer["label"] == ["praise", "blame"]
    iris = bundled("iris").drop("target")
    clusters = {"algorithm": "k_means", "parameters": {"n_clusters": 3}, "target": None}
    found = Run(tmp_path / "clusters", iris, stream=True, **clusters).result
    assert found.parity.agreed, found.parity.reason
    assert found.card.metrics["silhouette"] > 0.35


def test_rows_in_order_of_their_target_are_mixed(tmp_path: Path) -> None:
    frame = customers(5000).sort("target", "age")
    run = Run(tmp_path, frame, algorithm="logistic_regression", stream=True)
    assert run.result.card.metrics["accuracy"] > 0.85


def test_rare_classes_count_as_much_if_they_are_to(tmp_path: Path) -> None:
    frame = customers(4000)
    frame = pl.concat([frame.filter(~pl.col("target")), frame.filter("target").head(150)])
    spec: dict[str, Any] = {"algorithm": "logistic_regression", "stream": True}
    plain = Run(tmp_path / "plain", frame, **spec).result.card
    even = Run(tmp_path / "even", frame, parameters={"class_weight": "balanced"}, **spec).result
    assert even.card.metrics["balanced_accuracy"] > plain.metrics["balanced_accuracy"] + 0.1


def test_the_same_seed_makes_the_same_model(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"algorithm": "logistic_regression", "stream": True}
    spec["parameters"] = {"max_iter": 3}
    runs = [Run(tmp_path / str(n), customers(), seed=s, **spec) for n, s in enumerate((5, 5, 6))]
    graphs = [(run.folder / "model.onnx").read_bytes() for run in runs]
    assert graphs[0] == graphs[1] != graphs[2]


def test_sides_and_samples_do_not_depend_on_the_parts(tmp_path: Path) -> None:
    frame = pl.DataFrame({"row": np.arange(200_000), "x": np.arange(200_000) * 0.5})
    sampled = []
    for size in (3_000, 200_000):
        frame.write_parquet(tmp_path / f"{size}.parquet", row_group_size=size)
        sampled.append(TableStream(tmp_path / f"{size}.parquet", 7, 0.25).sample(_quiet))
    one, other = sampled
    assert one.train.equals(other.train)
    assert one.held_out.equals(other.held_out)
    assert one.train_rows + one.held_rows == 200_000
    assert one.held_rows == pytest.approx(50_000, abs=800)
    assert one.held_out.height == HELD_ROWS
    # Each row as likely as any other: the samples lie all over the table.
    for sample in (one.train, one.held_out):
        shares = np.histogram(sample["row"].to_numpy(), 10, (0, 200_000))[0] / sample.height
        assert np.abs(shares - 0.1).max() < 0.015


def test_each_turn_brings_every_training_row_once_in_another_order(tmp_path: Path) -> None:
    frame = pl.DataFrame({"row": np.arange(60_000), "x": np.zeros(60_000)})
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=5_000)
    stream = TableStream(tmp_path / "t.parquet", 3, 0.2)
    held = set(stream.sample(_quiet).held_out["row"].to_list())
    turns = [
        np.concatenate([part["row"].to_numpy() for part in stream.training(["row"], turn, _quiet)])
        for turn in (0, 1)
    ]
    for turn in turns:
        assert len(turn) == len(set(turn.tolist())) == 60_000 - len(held)
        assert not held & set(turn.tolist())
    assert turns[0].tolist() != turns[1].tolist()


def test_rows_without_a_target_are_counted_once_and_all(tmp_path: Path) -> None:
    untold = pl.int_range(pl.len()) % 3 == 0
    target = pl.when(untold).then(None).otherwise("target").alias("target")
    frame = customers(900, number=True).with_columns(target)
    card = Run(tmp_path, frame, algorithm="ridge", stream=True).result.card
    assert card.split is not None
    untold_inside = card.split.train_rows - card.train_rows
    about = [line for line in card.warnings if "target" in line]
    assert len(about) == 1
    assert f"; {untold_inside} have no target, or one too rare" in about[0]
    assert not [line for line in card.warnings if "sample" in line]


def test_a_few_held_out_rows_are_enough_to_measure_by(tmp_path: Path) -> None:
    frame = customers(60).with_columns(pl.col("target").cast(pl.String))
    run = Run(tmp_path, frame, algorithm="naive_bayes", stream=True, test_fraction=0.1)
    assert 0 < run.result.card.test_rows < 10


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"algorithm": "svm"}, "'svm' learns from the whole table, which is 600 rows of 7 columns"),
        ({}, "'auto' learns from the whole table"),
        ({"algorithm": "ridge"}, "classes are told apart by logistic_regression"),
        ({"algorithm": "naive_bayes", "time_column": "age"}, "time_column needs the whole table"),
        ({"algorithm": "naive_bayes", "threshold": "f1"}, "threshold needs the whole table"),
        ({"algorithm": "naive_bayes", "target": "nothing"}, "no target column 'nothing'"),
    ],
)
def test_what_needs_the_whole_table_is_refused(
    tmp_path: Path, spec: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        Run(tmp_path, customers(), stream=True, **spec)


def _write_large(path: Path) -> int:
    """A table of the same numbers in each column, some rows further down; its bytes in memory."""
    dice = np.random.default_rng(0)
    numbers = dice.integers(0, 100, ROWS + COLUMNS).astype(np.float64)
    fields = [pa.field(f"c{at}", pa.float64()) for at in range(COLUMNS)]
    schema = pa.schema([*fields, pa.field("target", pa.string())])
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, ROWS, GROUP):
            rows = [numbers[start + at : start + at + GROUP] for at in range(COLUMNS)]
            answer = np.where(2 * rows[0] - rows[1] > 50, "yes", "no")
            columns = [*map(pa.array, rows), pa.array(answer)]
            file.write_table(pa.Table.from_arrays(columns, schema=schema))
    return ROWS * COLUMNS * 8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_table_several_times_the_jobs_memory_is_learned(tmp_path: Path) -> None:
    assert _write_large(tmp_path / TABLE_FILE) > 2.7 * LIMIT
    spec: dict[str, Any] = {"table": TABLE_FILE, "target": "target"}
    spec["algorithm"] = "logistic_regression"
    spec |= {"stream": True, "parameters": {"max_iter": 1}}
    (tmp_path / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
    runner = ProcessTaskRunner(Sandbox(detect()), "modelyard.bootstrap", MEMORY)
    # What all its processes really use is watched, and they are killed when it is more.
    running = runner.start("train", tmp_path, Limits(memory_bytes=LIMIT))
    try:
        while (outcome := running.outcome()) is None:
            running.progress(0.5)
    finally:
        running.kill()
    assert outcome.ok, outcome.message
    result = read_result(tmp_path, Trained)
    assert result.card.train_rows == pytest.approx(0.8 * ROWS, rel=0.01)
    assert result.card.metrics["accuracy"] > 0.97
    assert result.parity.agreed, result.parity.reason
