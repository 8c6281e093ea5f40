"""Networks in folders as Hugging Face writes them: what they are for, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import Invalid
from modelyard.registry.artifact import Format
from modelyard.registry.detection import find_model
from tests.embedders import graph

GRAPH = graph()
BERT = {"architectures": ["BertForSequenceClassification"]}
RESNET = {"architectures": ["ResNetForImageClassification"]}


def folder(path: Path, *names: str, config: Any = None) -> Path:
    for name in names:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(GRAPH if name.endswith(".onnx") else b"{}")
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("names", "config", "format_"),
    [
        (("tokenizer.json",), None, Format.EMBEDDER),
        (("tokenizer.json", "labels.txt"), None, Format.TEXT_CLASSIFIER),
        (("tokenizer.json",), BERT, Format.TEXT_CLASSIFIER),
        (("tokenizer.json",), {"id2label": {"0": "a"}}, Format.TEXT_CLASSIFIER),
        # An embedder's configuration may hold labels that nobody has set.
        (
            ("tokenizer.json",),
            {"architectures": ["BertModel"], "id2label": {"0": "LABEL_0"}},
            Format.EMBEDDER,
        ),
        (("tokenizer.json", "1_Pooling/config.json"), BERT, Format.EMBEDDER),
        (("preprocessor_config.json",), None, Format.IMAGE_CLASSIFIER),
        (("preprocessor_config.json", "labels.txt"), RESNET, Format.IMAGE_CLASSIFIER),
        (("notes.txt",), {"anything": 1}, Format.ONNX),
    ],
)
def test_what_a_network_is_for(
    tmp_path: Path, names: tuple[str, ...], config: Any, format_: Format
) -> None:
    found = find_model(folder(tmp_path, "model.onnx", *names, config=config))

    assert found.format is format_


def test_only_what_belongs_to_it_is_taken(tmp_path: Path) -> None:
    found = find_model(
        folder(
            tmp_path / "repository",
            "onnx/model.onnx",
            "onnx/model_quantized.onnx",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
            "pytorch_model.bin",
            "README.md",
            config=BERT,
        )
    )

    names = {name: path.relative_to(tmp_path).as_posix() for name, path in found.files.items()}
    assert names == {
        "model.onnx": "repository/onnx/model.onnx",
        "tokenizer.json": "repository/tokenizer.json",
        "tokenizer_config.json": "repository/tokenizer_config.json",
        "config.json": "repository/config.json",
    }


def test_the_only_graph_may_have_any_name(tmp_path: Path) -> None:
    found = find_model(folder(tmp_path, "net.onnx", "preprocessor_config.json"))

    assert found.files["model.onnx"] == tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("names", "config", "said"),
    [
        (("one.onnx", "two.onnx", "tokenizer.json"), None, "2 networks in this folder: 'one.onnx'"),
        (("model.onnx",), BERT, "a text classifier needs tokenizer.json beside model.onnx"),
        (("model.onnx",), RESNET, "an image classifier needs preprocessor_config.json"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, names: tuple[str, ...], config: Any, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        find_model(folder(tmp_path, *names, config=config))


@pytest.mark.parametrize("config", ['{"architectures": 5}', "[" * 100_000, "{", '{"id2label": 5}'])
def test_a_configuration_that_cannot_be_read_decides_nothing(tmp_path: Path, config: str) -> None:
    folder(tmp_path, "model.onnx", "preprocessor_config.json")
    (tmp_path / "config.json").write_text(config)

    assert find_model(tmp_path).format is Format.IMAGE_CLASSIFIER
