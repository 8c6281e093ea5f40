"""Text classifiers: what they answer, batches, pairs, and parts that are missing or hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, pre_tokenizers

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.tensors import Datatype
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import CannotLoad, LoadedModel, RuntimeManifest
from modelyard.serving.stopping import StopSignal
from tests.text_classifiers import archive, graph, tokenizer


def loaded(folder: Path, data: bytes) -> LoadedModel:
    (folder / "model.zip").write_bytes(data)
    return load(folder, RuntimeManifest("text_classifier", {"model": "model.zip"}))


def ask(model: LoadedModel, *texts: str, pairs: tuple[str, ...] = ()) -> dict[str, Any]:
    inputs = {"text": np.array(texts, dtype=np.object_)}
    if pairs:
        inputs["text_pair"] = np.array(pairs, dtype=np.object_)
    return model.infer(inputs)


def softmax(*logits: float) -> Any:
    powers = np.exp(np.array(logits))
    return pytest.approx(powers / powers.sum(), abs=1e-5)


def test_label_score_and_the_probabilities_of_all_labels(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive())

    answer = ask(model, "cat cat", "dog", "fish and fish")

    assert answer["label"].tolist() == ["cats", "dogs", "neither"]
    assert answer["probabilities"][0] == softmax(0, 2, 0)
    assert answer["probabilities"][2] == softmax(1.5, 0, 0)
    assert answer["score"] == pytest.approx(answer["probabilities"].max(axis=1))
    assert model.stackable
    assert model.signature is not None
    assert [(spec.name, spec.optional) for spec in model.signature.inputs] == [
        ("text", False),
        ("text_pair", True),
    ]
    assert model.signature.outputs[2].columns == ("neither", "cats", "dogs")
    assert model.signature.outputs[2].datatype is Datatype.FP32
    assert model.notes == (
        "Tells 3 labels apart: neither; cats; dogs.",
        "Texts and pairs of texts are cut off after 16 tokens.",
    )


def test_a_second_text_is_kept_apart(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive())

    answer = ask(model, "cat", "cat", pairs=("dog", ""))

    assert answer["probabilities"][0] == softmax(0, 1, 10)
    assert answer["probabilities"][1] == softmax(0, 1, 0)


def test_a_tokenizer_that_does_not_keep_two_texts_apart_takes_one(tmp_path: Path) -> None:
    files: dict[str, bytes | None] = {"tokenizer.json": tokenizer(pairs=False).to_str().encode()}
    model = loaded(tmp_path, archive(files))

    assert model.signature is not None
    assert [spec.name for spec in model.signature.inputs] == ["text"]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"problem_type": "single_label_classification"}, [0.106507, 0.786986, 0.106507]),
        ({"problem_type": "multi_label_classification"}, [0.5, 0.880797, 0.5]),
    ],
)
def test_several_labels_may_hold_at_once(
    tmp_path: Path, changes: dict[str, Any], wanted: list[float]
) -> None:
    answer = ask(loaded(tmp_path, archive(**changes)), "cat cat")

    assert answer["probabilities"][0] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_texts_of_all_lengths_are_answered_as_alone(tmp_path: Path, *, masked: bool) -> None:
    names = ("input_ids", "attention_mask") if masked else ("input_ids",)
    model = loaded(tmp_path, archive({"model.onnx": graph(names)}, max_position_embeddings=3000))
    texts = [
        " ".join(["cat", "dog", "fish"][n % 3] for n in range(1 + 37 * at)) for at in range(40)
    ]

    together = ask(model, *texts, *reversed(texts))["probabilities"]

    alone = np.concatenate([ask(model, text)["probabilities"] for text in texts])
    assert together == pytest.approx(np.concatenate([alone, alone[::-1]]), abs=1e-6)


def test_a_long_text_loses_its_end(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive())

    answer = ask(model, "cat " * 14 + "dog " * 500, "cat " * 9, pairs=("", "dog " * 9))

    assert answer["probabilities"][0] == softmax(0, 14, 0)
    # Of a pair, the longer of the two until both fit: thirteen tokens beside the three marks.
    assert answer["label"].tolist() == ["cats", "dogs"]


@pytest.mark.parametrize(
    ("config", "settings", "length"),
    [
        ({"max_position_embeddings": 40}, {}, 40),
        ({"max_position_embeddings": 40}, {"model_max_length": 20}, 20),
        ({"max_position_embeddings": 40}, {"model_max_length": 1e30}, 40),
        # It numbers positions from behind the padding's number.
        (
            {"max_position_embeddings": 40, "model_type": "roberta", "pad_token_id": 1},
            {"model_max_length": 10**9},
            38,
        ),
    ],
)
def test_the_length_is_the_least_that_the_files_say(
    tmp_path: Path, config: dict[str, Any], settings: dict[str, Any], length: int
) -> None:
    files: dict[str, bytes | None] = {"tokenizer_config.json": json.dumps(settings).encode()}

    model = loaded(tmp_path, archive(files, **config))

    assert model.notes[1].endswith(f"after {length} tokens.")


def test_what_comes_as_probabilities_stays_so(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive({"model.onnx": shares()}))

    assert ask(model, "cat cat dog fish")["probabilities"][0] == pytest.approx([0.25, 0.5, 0.25])


def shares() -> bytes:
    """The same graph with the shares of the animals for its output."""
    import onnx
    from onnx import helper

    model = onnx.load_from_string(graph(output="counts"))
    weights = next(each for each in model.graph.initializer if each.name == "weights")
    table = np.array(onnx.numpy_helper.to_array(weights))
    table[:4] = [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    weights.CopyFrom(onnx.numpy_helper.from_array(table, "weights"))
    model.graph.node.append(helper.make_node("ReduceSum", ["counts", "second"], ["sum"]))
    model.graph.node.append(helper.make_node("Div", ["counts", "sum"], ["probabilities"]))
    model.graph.output[0].name = "probabilities"
    return bytes(model.SerializeToString())


def test_a_call_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    stop = StopSignal()
    stop.set()

    with pytest.raises(Invalid):
        loaded(tmp_path, archive()).infer({"text": np.array(["cat"], dtype=np.object_)}, stop)


def test_a_pattern_that_takes_too_long_for_a_text_ends_that_request_alone(tmp_path: Path) -> None:
    slow = tokenizer()
    slow.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Split(Regex("(a+)+$"), "isolated")]
    )
    model = loaded(tmp_path, archive({"tokenizer.json": slow.to_str().encode()}))

    with pytest.raises(Invalid, match="tokenizer fails on a text"):
        ask(model, "cat", "a" * 40 + "b")
    assert ask(model, "cat")["label"].tolist() == ["cats"]


def hostile(**changes: Any) -> bytes:
    told = json.loads(tokenizer().to_str())
    told.update(changes)
    return json.dumps(told).encode()


HOSTILE = {
    "nothing": b"",
    "nothing in it": b"{}",
    "no json": b"\x00\xff" * 100,
    "deep": b'{"model":' * 100_000,
    "a list": b"[1, 2]",
    "an unknown model": hostile(model={"type": "Python", "code": "import os"}),
    "numbers that are negative": hostile(model={"type": "WordLevel", "vocab": {"a": -1}}),
    "numbers beyond bounds": hostile(model={"type": "WordLevel", "vocab": {"a": 1 << 70}}),
    "a pattern that is none": hostile(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"}
    ),
    "a template of tokens that are not there": hostile(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[NO]", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    ),
    "cut off": tokenizer().to_str().encode()[:-50],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tokenizer_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelyardError, match=r"tokenizer|refused the input"):
        loaded(tmp_path, archive({"tokenizer.json": HOSTILE[name]}))


def test_a_token_that_the_network_does_not_know_is_an_error(tmp_path: Path) -> None:
    far = hostile(model={"type": "WordLevel", "vocab": {"[UNK]": 4_000_000}, "unk_token": "[UNK]"})

    with pytest.raises(ModelyardError, match="refused the input"):
        loaded(tmp_path, archive({"tokenizer.json": far}))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (archive({"tokenizer.json": None}), "'tokenizer.json' is missing"),
        (archive({"model.onnx": graph(("input_ids", "pixels"))}), "takes input_ids, pixels"),
        (archive({"config.json": None}), "a text classifier needs labels, and this one tells 3"),
        (archive(id2label={"0": "a", "1": "a", "2": "b"}), "must differ"),
        (archive(id2label={"0": "a", "1": "b"}), "has 2 labels, but the network tells 3"),
        (archive(id2label={"0": 1, "1": 2, "2": 3}), "must be like"),
        (archive(id2label=7), "must be like"),
        (archive(id2label={"0": "a", "1": "b\n", "2": "c\x00"}), "label 2 of"),
        (archive(problem_type="ranking"), "problem_type is 'ranking'"),
        (archive(problem_type="regression"), "one number for a text, and this network gives 3"),
        (archive(max_position_embeddings=2), "leave no room"),
        (archive(max_position_embeddings=1e300), "max_position_embeddings is"),
        (archive({"tokenizer_config.json": b'{"model_max_length": -5}'}), "model_max_length"),
        (archive({"tokenizer_config.json": b'{"model_max_length": "x"}'}), "model_max_length"),
    ],
)
def test_what_is_no_text_classifier_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(CannotLoad, match=said):
        loaded(tmp_path, data)
