"""A network trained on real sentences, asked with texts: it answers what PyTorch answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_client import Client
from modelyard_client.errors import ApiError
from modelyard_client.models import ModelVersion, VersionFailed
from tests import real_models
from tests.e2e.conftest import Server
from tests.text_classifiers import files

NAME = "sentiment"
SECONDS = 180.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Path:
    return real_models.sentiment()


@pytest.fixture(scope="module")
def network(server: Server, folder: Path) -> Iterator[ModelVersion]:
    with Client(server.url, server.admin_key, timeout=SECONDS) as client:
        version = client.models.import_model(NAME, folder)
        client.deployments.put(NAME, NAME)
        client.deployments.wait_ready(NAME, SECONDS)
        yield version
        client.deployments.delete(NAME)


@pytest.fixture(scope="module")
def expected(folder: Path) -> Any:
    return json.loads((folder / "expected.json").read_text())


def test_its_card_says_what_it_is_for(network: ModelVersion) -> None:
    assert network.card.task == "text-classification"
    assert network.card.description == (
        "Tells 2 labels apart: negative; positive. "
        "Texts and pairs of texts are cut off after 48 tokens."
    )
    assert [artifact.format for artifact in network.artifacts] == ["text_classifier"]


@pytest.mark.usefixtures("network")
def test_texts_of_all_lengths_are_classified_as_by_pytorch(client: Client, expected: Any) -> None:
    records = [{"text": text} for text in expected["texts"]]

    answers = client.predict(NAME, records)

    found = [[one["probabilities"][name] for name in ("negative", "positive")] for one in answers]
    np.testing.assert_allclose(found, expected["probabilities"], atol=1e-4)
    right = [
        one["label"] == ("negative", "positive")[kind]
        for one, kind in zip(answers, expected["classes"], strict=True)
    ]
    assert sum(right) / len(right) > 0.6
    assert all(one["score"] == max(one["probabilities"].values()) for one in answers)
    assert client.predict(NAME, expected["texts"][:3]) == answers[:3]


@pytest.mark.usefixtures("network")
def test_pairs_of_texts_are_classified_as_by_pytorch(client: Client, expected: Any) -> None:
    pairs = expected["pairs"]
    answers = client.predict(NAME, [{"text": one, "text_pair": other} for one, other in pairs])
    as_rows = client.predict(NAME, pairs)

    found = [list(one["probabilities"].values()) for one in answers]
    np.testing.assert_allclose(found, expected["of_pairs"], atol=1e-4)
    assert as_rows == answers


@pytest.mark.usefixtures("network")
def test_v2_gives_each_as_a_tensor(client: Client, expected: Any) -> None:
    texts, others = zip(*expected["pairs"], strict=True)
    given = {"name": "text", "shape": [20], "datatype": "BYTES", "data": texts}
    second = {**given, "name": "text_pair", "data": others}

    alone = client.inference.infer(NAME, [given])
    paired = client.inference.infer(NAME, [given, second], outputs=["probabilities"])

    assert [(one.name, one.shape) for one in alone.outputs] == [
        ("label", [20]),
        ("score", [20]),
        ("probabilities", [20, 2]),
    ]
    np.testing.assert_allclose(
        np.reshape(alone.output("probabilities").data, (20, 2)),
        expected["probabilities"][:20],
        atol=1e-4,
    )
    np.testing.assert_allclose(
        np.reshape(paired.output("probabilities").data, (20, 2)), expected["of_pairs"], atol=1e-4
    )
    metadata = {each.name: each.parameters for each in client.inference.metadata(NAME).inputs}
    assert metadata == {"text": {}, "text_pair": {"nullable": True, "optional": True}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"config.json": b'{"architectures": ["BertForSequenceClassification"]}'},
            "a text classifier needs labels, and this one tells 3 classes apart: add labels.txt",
        ),
        ({"model.onnx": b"\x08\x0a\x3a\x04\x0a\x02\x08\x01"}, "ONNX Runtime does not load it"),
        ({"tokenizer.json": b'{"model": 5}'}, "tokenizer.json cannot be read"),
    ],
)
def test_an_import_that_lacks_something_says_what(
    client: Client, tmp_path: Path, changes: dict[str, bytes | None], said: str
) -> None:
    for name, data in files(changes).items():
        (tmp_path / name).write_bytes(data)

    with pytest.raises(VersionFailed, match=said):
        client.models.import_model("lacking", tmp_path)


def test_a_folder_without_its_tokenizer_is_no_version(client: Client, tmp_path: Path) -> None:
    changes: dict[str, bytes | None] = {
        "tokenizer.json": None,
        "config.json": b'{"architectures": ["BertForSequenceClassification"]}',
    }
    for name, data in files(changes).items():
        (tmp_path / name).write_bytes(data)

    with pytest.raises(ApiError, match=r"needs tokenizer\.json beside model\.onnx"):
        client.models.import_model("lacking", tmp_path)
