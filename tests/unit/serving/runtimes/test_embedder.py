"""Sentence embedders: pooling, length, batches, and parts that are missing or wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype
from modelyard.serving.runtimes import embedder
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel
from tests.embedders import archive, graph


def load(folder: Path, data: bytes) -> FunctionModel:
    (folder / "model.zip").write_bytes(data)
    return embedder.load(folder, RuntimeManifest("embedder", {"model": "model.zip"}))


def ask(model: FunctionModel, *texts: str) -> dict[str, Any]:
    return model.infer({"text": np.array(texts, dtype=np.object_)})


def test_the_mean_of_the_tokens_has_length_one(tmp_path: Path) -> None:
    model = load(tmp_path, archive())

    answer = ask(model, "cat", "cat dog", "fish")

    half = np.sqrt(0.5)
    assert answer["embedding"] == pytest.approx(
        np.array([[0.6, 0.8, 0], [half, half, 0], [0, 0, 1]]), abs=1e-6
    )
    assert answer["tokens"].tolist() == [1, 2, 1]
    assert model.signature is not None
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.outputs] == [
        ("embedding", Datatype.FP32, (-1, 3)),
        ("tokens", Datatype.INT64, (-1,)),
    ]


def test_texts_of_all_lengths_keep_their_order(tmp_path: Path) -> None:
    model = load(tmp_path, archive(max_position_embeddings=2000))
    texts = [" ".join(["cat", "dog", "fish"][: n % 3 + 1] * (n + 1)) for n in range(60)]

    together = ask(model, *texts)["embedding"]

    alone = np.concatenate([ask(model, text)["embedding"] for text in texts])
    assert together == pytest.approx(alone, abs=1e-6)


def test_the_first_token_counts_where_the_model_says_so(tmp_path: Path) -> None:
    model = load(tmp_path, archive({"1_Pooling/config.json": b'{"pooling_mode_cls_token": true}'}))

    assert ask(model, "cat dog")["embedding"][0] == pytest.approx([0.6, 0.8, 0])


def test_a_text_that_is_too_long_is_refused_by_its_place(tmp_path: Path) -> None:
    model = load(tmp_path, archive())

    with pytest.raises(Invalid, match="text 2 has 5 tokens; the model looks at 4"):
        ask(model, "cat", "cat " * 5)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK", "archive cannot be read"),
        (archive({"tokenizer.json": None}), "'tokenizer.json' is missing"),
        (archive({"model.onnx": None}), "'model.onnx' is missing"),
        (archive({"tokenizer.json": b"{}"}), "tokenizer.json cannot be read"),
        (archive({"model.onnx": b"\x08\x07"}), "ONNX Runtime does not load it"),
        (archive({"model.onnx": graph(("input_ids", "pixels"))}), "takes input_ids, pixels"),
        (archive({"config.json": b"{"}), "config.json is no JSON object"),
        (archive(max_position_embeddings=-1), "max_position_embeddings"),
    ],
)
def test_what_is_no_embedder_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(CannotLoad, match=said):
        load(tmp_path, data)
