"""Training of what makes one text of another."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench.samples import sample_for
from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, TensorSpec
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.catalogue import ALGORITHMS
from tests.integration.training.test_train import Run

SPEC: dict[str, Any] = {"target": "numbers", "task": "translation", "algorithm": "seq2seq"}
SMALL: dict[str, Any] = {
    "embedding_dim": 32,
    "hidden_size": 48,
    "epochs": 12,
    "learning_rate": 0.01,
    "batch_size": 32,
    "min_count": 1,
}


def days() -> pl.DataFrame:
    return sample_for(ALGORITHMS["seq2seq"], TaskKind.TRANSLATION).table


@pytest.mark.parametrize("written", ["characters", "words"])
def test_days_are_written_in_numbers(tmp_path: Path, written: str) -> None:
    parameters = {**SMALL, "target_tokens": written}
    run = Run(tmp_path, days(), **SPEC, parameters=parameters)
    assert run.result.parity.agreed, run.result.parity.reason
    assert run.result.parity.label_agreement == 1.0
    assert run.result.card.metrics["exact_match"] > 0.9
    assert run.result.signature.inputs == (TensorSpec("day", Datatype.BYTES, (-1,), nullable=True),)
    assert run.result.signature.outputs == (TensorSpec("translation", Datatype.BYTES, (-1,)),)
    asked = ["March 5, 2025", "December 24, 2023"]
    assert run.predict(day=asked)["translation"] == ["y2025 m03 d05", "y2023 m12 d24"]
    assert run.predict(day=asked[1:])["translation"] == ["y2023 m12 d24"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"algorithm": "gru"}, "'gru' does not do translation; these do: seq2seq"),
        ({"algorithm": "auto"}, "'auto' tries nothing for translation: name one of seq2seq"),
        ({"task": "classification"}, "'seq2seq' does not do classification"),
        ({"parameters": {"loss": "focal"}}, "texts are learned by cross_entropy, not by focal"),
        ({"target": "count"}, "holds integers; translation needs texts"),
    ],
)
def test_what_cannot_be_translated_is_refused(
    tmp_path: Path, spec: dict[str, Any], problem: str
) -> None:
    frame = days().with_columns(pl.int_range(pl.len()).alias("count"))
    with pytest.raises(Invalid, match=problem):
        Run(tmp_path, frame, **{**SPEC, "include": ["day"], **spec})


def test_targets_have_a_bound(tmp_path: Path) -> None:
    frame = days().with_columns(pl.col("numbers").str.pad_end(600, "x"))
    with pytest.raises(Invalid, match="a target has 600 tokens; 511 are learned"):
        Run(tmp_path, frame, **SPEC)
