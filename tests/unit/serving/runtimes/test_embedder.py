"""Sentence embedders: pooling, length, batches, and parts that are missing or wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype
from modelyard.serving.runtimes import embedder
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel
from modelyard.serving.runtimes.text_network import batches
from tests.embedders import archive, graph, pooled
from tests.text_classifiers import graph as text_classifier


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


MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}


@pytest.mark.parametrize(
    ("pooling", "wanted"),
    [
        ({}, [3.5, 3.5, 0]),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, [3.5, 3.5, 0]),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, [3, 4, 0]),
        ({"pooling_mode_max_tokens": True}, [4, 4, 0]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, [3.5 * 2**0.5, 3.5 * 2**0.5, 0]),
        ({"pooling_mode_lasttoken": True}, [4, 3, 0]),
        ({"pooling_mode": "cls", "include_prompt": True}, [3, 4, 0]),
    ],
)
def test_each_way_of_pooling(tmp_path: Path, pooling: dict[str, Any], wanted: list[float]) -> None:
    """Beside a longer text, so that the shorter is filled up; and not brought to length one."""
    files: dict[str, bytes | None] = {
        "1_Pooling/config.json": json.dumps(pooling).encode(),
        "modules.json": json.dumps(MODULES).encode(),
    }
    model = load(tmp_path, archive(files))

    answer = ask(model, "cat dog", "dog dog dog fish")

    assert answer["embedding"][0] == pytest.approx(wanted, rel=1e-6)
    assert model.notes == ("Embeds texts as 3 numbers.",)


def test_vectors_that_the_graph_has_pooled_are_taken_as_they_are(tmp_path: Path) -> None:
    model = load(tmp_path, archive({"model.onnx": pooled()}))

    answer = ask(model, "cat dog")

    # The sum of both, and of length one.
    assert answer["embedding"][0] == pytest.approx([0.5**0.5, 0.5**0.5, 0], rel=1e-6)


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
        (archive({"modules.json": json.dumps([*MODULES, DENSE]).encode()}), "the step 'Dense'"),
        (archive({"modules.json": b'{"0": 1}'}), "modules.json is no list of modules"),
        (
            archive({"1_Pooling/config.json": b'{"pooling_mode_weightedmean_tokens": true}'}),
            "asks for weightedmean; one of mean, cls",
        ),
        (
            archive(
                {
                    "1_Pooling/config.json": json.dumps(
                        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
                    ).encode()
                }
            ),
            "asks for cls, mean",
        ),
        (
            archive({"model.onnx": text_classifier()}),
            "gives 'logits', so it is no sentence embedder but a text classifier, which needs "
            "labels: add labels.txt",
        ),
    ],
)
def test_what_is_no_embedder_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(CannotLoad, match=said):
        load(tmp_path, data)


def test_batches_are_of_about_the_same_length_and_of_few_tokens() -> None:
    lengths = [3, 500, 12, 10, 11, 4, 600, 490, 9]

    made = batches(lengths)

    assert [[lengths[place] for place in batch] for batch in made] == [
        [600],
        [500],
        [490],
        [12, 11, 10, 9],
        [4, 3],
    ]
    assert sorted(place for batch in made for place in batch) == list(range(len(lengths)))
    many = batches([20] * 100)
    assert [len(batch) for batch in many] == [25, 25, 25, 25]
    assert batches([3, 4, 4], fill=False) == [[1, 2], [0]]
