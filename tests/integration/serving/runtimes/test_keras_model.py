"""Keras' files against the networks' own answers, as they are and as ONNX."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.training.conversion.converting import convert
from tests.integration.serving.runtimes.folder import loaded, signature_of
from tests.integration.training.conversion.converted import served

ROWS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _own_warnings() -> Iterator[None]:
    """The runtime owns its process, and sets filters and threads for it."""
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def keras() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The runtime chooses the backend before it imports the library.
        importlib.import_module("modelyard.serving.runtimes.keras_model")
    return importlib.import_module("keras")


@pytest.fixture
def sequential(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.parametrize(("suffix", "format_"), [("keras", "keras"), ("h5", "keras_h5")])
def test_a_network_answers_alike_and_is_converted(
    suffix: str, format_: str, sequential: Any, tmp_path: Path
) -> None:
    path = tmp_path / f"model.{suffix}"
    sequential.save(path)
    model = loaded(path, format_)
    (name,) = [spec.name for spec in signature_of(model).inputs]
    assert signature_of(model).outputs == (TensorSpec("output", Datatype.FP32, (-1, 3)),)
    assert model.stackable
    for rows in (ROWS[:1], ROWS):
        expected = sequential.predict(rows, verbose=0)
        np.testing.assert_allclose(model.infer({name: rows})["output"], expected, rtol=1e-4)
    with pytest.raises(Invalid, match="the model refused the input: ValueError"):
        model.infer({name: np.zeros((1, 3), np.float32)})
    report = convert(tmp_path, RuntimeManifest(format_, {"model": path.name}))
    assert report.parity.agreed, report.parity
    answer = served(tmp_path, report, {name: ROWS})
    expected = sequential.predict(ROWS, verbose=0)
    np.testing.assert_allclose(answer["output"], expected, rtol=1e-4, atol=1e-6)


def test_a_picture_goes_through_convolutions(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    own = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    own.save(tmp_path / "model.keras")
    report = convert(tmp_path, RuntimeManifest("keras", {"model": "model.keras"}))
    assert report.parity.agreed, report.parity
    rows = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    (spec,) = report.signature.inputs
    answer = served(tmp_path, report, {spec.name: rows})["output"]
    np.testing.assert_allclose(answer, own.predict(rows, verbose=0), rtol=1e-4, atol=1e-5)


def test_several_inputs_and_outputs_keep_their_names(keras: Any, tmp_path: Path) -> None:
    numbers, words = (
        keras.Input((4,), name="numbers"),
        keras.Input((2,), name="words", dtype="int32"),
    )
    embedded = keras.layers.Flatten()(keras.layers.Embedding(10, 3)(words))
    joined = keras.layers.Concatenate()([numbers, embedded])
    score = keras.layers.Dense(1, name="score")(joined)
    double = keras.layers.Lambda(lambda value: value * 2, name="double")(score)
    own = keras.Model({"words": words, "numbers": numbers}, {"s": score, "d": double})
    own.save(tmp_path / "model.keras")
    model = loaded(tmp_path / "model.keras", "keras")
    signature = signature_of(model)
    assert sorted((s.name, s.datatype) for s in signature.inputs) == [
        ("numbers", Datatype.FP32),
        ("words", Datatype.INT32),
    ]
    assert sorted(spec.name for spec in signature.outputs) == ["d", "s"]
    rows = {"numbers": ROWS, "words": np.arange(14, dtype=np.int32).reshape(7, 2) % 10}
    answer, expected = model.infer(rows), own.predict(rows, verbose=0)
    report = convert(tmp_path, RuntimeManifest("keras", {"model": "model.keras"}))
    assert report.parity.agreed, report.parity
    graph = served(tmp_path, report, rows)
    for name in ("s", "d"):
        np.testing.assert_allclose(answer[name], expected[name], rtol=1e-4)
        np.testing.assert_allclose(graph[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_declared_signature_is_kept(sequential: Any, tmp_path: Path) -> None:
    sequential.save(tmp_path / "model.keras")
    declared = Signature(
        (TensorSpec("x", Datatype.FP32, (-1, 4)),), (TensorSpec("y", Datatype.FP32, (-1, 3)),)
    )
    model = loaded(tmp_path / "model.keras", "keras", declared)
    assert list(model.infer({"x": ROWS})) == ["y"]


@pytest.mark.parametrize(("name", "format_"), [("model.keras", "keras"), ("model.h5", "keras_h5")])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut off"])
def test_what_is_no_network_does_not_load(
    name: str, format_: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CannotLoad, match="Keras does not load it"):
        loaded(tmp_path / name, format_)
