"""Image classifiers: what they answer, and parts that are missing or do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import CannotLoad, LoadedModel, RuntimeManifest
from modelyard.serving.stopping import StopSignal
from tests.image_classifiers import archive, graph, picture


def loaded(folder: Path, data: bytes) -> LoadedModel:
    (folder / "model.zip").write_bytes(data)
    return load(folder, RuntimeManifest("image_classifier", {"model": "model.zip"}))


def ask(model: LoadedModel, *pictures: bytes) -> dict[str, Any]:
    files = np.empty(len(pictures), dtype=np.object_)
    files[:] = pictures
    return model.infer({"image": files})


def test_it_answers_with_the_best_labels(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive())

    answer = ask(model, picture((255, 0, 51)), picture("blue", format_="JPEG"))

    assert answer["label"].tolist() == ["red", "blue"]
    assert answer["labels"].tolist()[0] == ["red", "blue", "green"]
    # Means of 1.0, -0.6 and -1.0, times ten.
    powers = np.exp(np.array([10.0, -6.0, -10.0]))
    assert answer["scores"][0] == pytest.approx(powers / powers.sum(), rel=1e-4)
    assert answer["score"] == pytest.approx(answer["scores"][:, 0])
    assert model.stackable
    assert model.signature is not None
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.outputs] == [
        ("label", Datatype.BYTES, (-1,)),
        ("score", Datatype.FP32, (-1,)),
        ("labels", Datatype.BYTES, (-1, 3)),
        ("scores", Datatype.FP32, (-1, 3)),
    ]
    assert model.notes == (
        "Tells 3 labels apart: red; green; blue.",
        "Pictures are resized to 8 x 8 (bilinear), RGB.",
    )


@pytest.mark.parametrize(
    ("shape", "channels_at"),
    [
        (("batch", 8, 8, 3), 3),
        ((1, 3, 8, 8), 1),
        (("batch", "channels", "height", "width"), 1),
        (("batch", "height", "width", 3), 3),
    ],
)
def test_either_layout_and_any_batch(
    tmp_path: Path, shape: tuple[str | int, ...], channels_at: int
) -> None:
    model = loaded(tmp_path, archive({"model.onnx": graph(shape, channels_at)}))

    answer = ask(model, *map(picture, ("green", "blue", "red")))

    assert answer["label"].tolist() == ["green", "blue", "red"]


def test_the_order_of_channels_is_the_preprocessors(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive(do_flip_channel_order=True))

    assert ask(model, picture("red"))["label"].tolist() == ["blue"]


def test_many_pictures_are_looked_at_a_few_at_a_time(tmp_path: Path) -> None:
    size = {"height": 512, "width": 512}
    model = loaded(
        tmp_path,
        archive({"model.onnx": graph(("batch", 3, "height", "width"))}, size=size),
    )

    answer = ask(model, *map(picture, ("red", "green", "blue") * 3))

    assert answer["label"].tolist() == ["red", "green", "blue"] * 3


def test_labels_of_the_configuration_serve_as_well(tmp_path: Path) -> None:
    named = {"id2label": {"0": "rot", "1": "grün", "2": "blau"}}
    files = {"labels.txt": None, "config.json": json.dumps(named).encode()}

    model = loaded(tmp_path, archive(files))

    assert ask(model, picture("green"))["label"].tolist() == ["grün"]


def test_what_is_no_picture_is_refused_by_its_place(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive())

    with pytest.raises(Invalid, match="image 2: no picture: JPEG, PNG"):
        ask(model, picture("red"), b"https://example.org/cat.png")


def test_a_call_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    model = loaded(tmp_path, archive())
    files = np.array([picture("red")], dtype=np.object_)
    stop = StopSignal()
    stop.set()

    with pytest.raises(Invalid, match="nobody waits"):
        model.infer({"image": files}, stop)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK", "archive cannot be read"),
        (archive({"model.onnx": None}), "'model.onnx' is missing"),
        (archive({"model.onnx": b"\x08\x07"}), "ONNX Runtime does not load it"),
        (archive({"model.onnx": graph(("batch", 4, 8, 8))}), "pictures of 4 channels"),
        (archive({"model.onnx": graph((7, 3, 8, 8))}), "takes 7 pictures at a time"),
        (archive({"model.onnx": graph(("batch", 3, 9, 9))}), r"makes pictures of \[8, 8\]"),
        (archive({"preprocessor_config.json": None}), "needs preprocessor_config.json"),
        (archive({"preprocessor_config.json": b"[]"}), "is no JSON object"),
        (archive({"labels.txt": None}), "needs labels, and this one tells 3 classes apart: add"),
        (archive({"labels.txt": b"one\ntwo"}), "has 2 labels, but the network tells 3"),
        (archive({"labels.txt": b"one\n\nthree"}), "label 1 of labels.txt is ''"),
        (archive({"labels.txt": b"\xff\xfe"}), "not UTF-8"),
        (
            archive({"labels.txt": None, "config.json": b'{"id2label": {"0": "a", "2": "b"}}'}),
            "has 2 labels and none for class '1'",
        ),
        (archive({"config.json": b'{"problem_type": "regression"}'}), "problem_type is"),
    ],
)
def test_what_is_no_image_classifier_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(CannotLoad, match=said):
        loaded(tmp_path, data)
