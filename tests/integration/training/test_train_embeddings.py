"""A linear model on an embedder's vectors, from texts to the form that is served."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Datatype, TensorSpec
from modelyard.registry.artifact import Format
from modelyard.serving.runtimes import text_classifier
from modelyard.serving.runtimes.contract import MODEL, LoadedModel, RuntimeManifest
from modelyard.training.embedding import EMBEDDER_FILE, VECTORS_FILE
from modelyard.training.served_archive import MODEL_FILE
from tests import embedders
from tests.integration.training.test_train import Run

CLS = {"1_Pooling/config.json": b'{"pooling_mode_cls_token": true}'}
ROOT = {"1_Pooling/config.json": b'{"pooling_mode_mean_sqrt_len_tokens": true}'}
LAST = {"1_Pooling/config.json": b'{"pooling_mode_lasttoken": true}'}
UNSCALED = {"modules.json": b'[{"type": "x.Transformer"}, {"type": "x.Pooling"}]'}


def animals(rows: int = 80) -> pl.DataFrame:
    """What a text tells most of: 1 to 4 words of cats, dogs, and what the embedder does not know,
    and by how much.
    """
    dice = np.random.default_rng(0)
    texts, more = [], []
    for _ in range(rows):
        words = dice.choice(["cat", "dog", "bird"], dice.integers(1, 5)).tolist()
        words.insert(0, first := str(dice.choice(["cat", "dog"])))
        texts.append(" ".join(words[:4]))
        more.append(words[:4].count("cat") / len(words[:4]) + (first == "cat"))
    return pl.DataFrame({"said": texts, "much": more}).with_columns(
        pl.when(pl.col("much") > 0.8).then(pl.lit("cats")).otherwise(pl.lit("dogs")).alias("about")
    )


def trained(folder: Path, changes: dict[str, bytes | None] | None = None, **spec: Any) -> Run:
    """A training on the animals, with the small embedder."""
    folder.mkdir(exist_ok=True)
    (folder / EMBEDDER_FILE).write_bytes(embedders.archive(changes))
    given = {"target": "about", "include": ["said"], "algorithm": "embedding_linear", **spec}
    return Run(folder, animals(), **given)


def served(run: Run) -> LoadedModel:
    """The model as a replica loads it."""
    forms = {one.format: one.name for one in run.result.artifacts}
    files = {MODEL: forms[Format.TEXT_CLASSIFIER]}
    manifest = RuntimeManifest(Format.TEXT_CLASSIFIER.value, files, run.result.signature)
    return text_classifier.load(run.folder, manifest)


@pytest.mark.parametrize(
    "changes",
    [
        None,
        CLS,
        ROOT,
        UNSCALED,
        {"model.onnx": embedders.pooled()},
        {"model.onnx": embedders.graph(("input_ids",))},
    ],
    ids=["mean", "first", "root", "unscaled", "pooled", "unmasked"],
)
@pytest.mark.parametrize("target", ["about", "much"])
def test_the_head_is_at_the_end_of_the_embedders_graph(
    tmp_path: Path, changes: dict[str, bytes | None] | None, target: str
) -> None:
    run = trained(tmp_path, changes, target=target)
    card, parity = run.result.card, run.result.parity
    assert parity.agreed, parity.reason
    assert parity.largest_difference is not None
    assert parity.largest_difference < 1e-5
    assert card.metrics["accuracy" if target == "about" else "r2"] > 0.6
    assert run.result.signature.inputs == (TensorSpec("said", Datatype.BYTES, (-1,)),)
    model = served(run)
    answer = model.infer({"said": np.array(["cat cat", "dog dog"], dtype=np.object_)})
    if target == "about":
        assert answer["label"].tolist() == ["cats", "dogs"]
    else:
        more, less = answer["prediction"].tolist()
        assert more > less + 0.5
    model.unload()


def test_more_than_two_classes_share_a_sum_of_one(tmp_path: Path) -> None:
    frame = animals().with_columns(pl.col("much").gt(1.4).cast(pl.Int64) + pl.col("much").gt(0.8))
    (tmp_path / EMBEDDER_FILE).write_bytes(embedders.archive())
    run = Run(tmp_path, frame.drop("about"), target="much", algorithm="embedding_linear")
    assert run.result.parity.agreed, run.result.parity.reason
    answer = served(run).infer({"said": np.array(["cat", "dog", "bird"], dtype=np.object_)})
    assert answer["probabilities"].shape == (3, 3)
    np.testing.assert_allclose(answer["probabilities"].sum(axis=1), 1, atol=1e-6)


def test_the_same_seed_makes_the_same_archive(tmp_path: Path) -> None:
    runs = [trained(tmp_path / name) for name in ("a", "b")]
    one, other = ((run.folder / MODEL_FILE).read_bytes() for run in runs)
    assert one == other


def test_tuning_processes_read_the_vectors_that_are_there(tmp_path: Path) -> None:
    run = trained(tmp_path, trials=3, workers=2, folds=2)
    assert run.result.card.tuning is not None
    assert run.result.card.tuning.trials == 3
    assert np.load(tmp_path / VECTORS_FILE).shape == (80, 3)
    assert "embedded 80 of 80 texts" not in [line.message for line in run.story]


@pytest.mark.parametrize(
    ("changes", "spec", "problem"),
    [
        (LAST, {}, "pools its tokens by 'lasttoken'; mean, cls"),
        ({"tokenizer.json": None}, {}, "'tokenizer.json' is missing"),
        ({}, {"include": ["much"]}, "reads one column of text, and there is none"),
        ({}, {"preprocessing": {"said": {"role": "text"}}}, "preprocessing and selection are for"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    tmp_path: Path, changes: dict[str, bytes | None], spec: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ModelyardError, match=problem):
        trained(tmp_path, changes, **spec)


def test_there_must_be_an_embedder(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"target": "about", "include": ["said"]}
    with pytest.raises(Invalid, match="no embedder to read the texts with"):
        Run(tmp_path, animals(), algorithm="embedding_linear", **spec)
