"""PyTorch's files against the networks' own answers, as they are and as ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.core.errors import Invalid, UnsupportedFormat
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.training.conversion.converting import convert
from modelyard.training.conversion.sample import Sample
from tests.integration.serving.runtimes.folder import loaded, signature_of
from tests.integration.serving.runtimes.networks import Lookup, TwoHeads, export, script
from tests.integration.training.conversion.converted import served


@pytest.fixture(autouse=True)
def _own_warnings() -> Iterator[None]:
    """The runtime owns its process, and sets filters and threads for it."""
    import warnings

    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def heads() -> TwoHeads:
    network = TwoHeads()
    network.eval()
    return network


def own(network: torch.nn.Module, *rows: Tensor) -> list[Tensor]:
    with torch.inference_mode():
        answer = network(*(torch.from_numpy(one) for one in rows))
    values = answer.values() if isinstance(answer, dict) else answer
    return [one.numpy() for one in values]


ROWS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


def test_an_exported_program_tells_what_it_takes_and_answers_alike(
    heads: TwoHeads, tmp_path: Path
) -> None:
    export(heads, (torch.randn(2, 4),), tmp_path / "model.pt2")
    model = loaded(tmp_path / "model.pt2", "torch_export")
    assert signature_of(model) == Signature(
        (TensorSpec("x", Datatype.FP32, (-1, 4)),),
        (
            TensorSpec("logits", Datatype.FP32, (-1, 3)),
            TensorSpec("probabilities", Datatype.FP32, (-1, 3)),
        ),
    )
    assert model.stackable
    for rows in (ROWS[:1], ROWS):
        answer = model.infer({"x": rows})
        for one, other in zip(answer.values(), own(heads, rows), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
    with pytest.raises(Invalid, match="the model refused the input: AssertionError: Guard failed"):
        model.infer({"x": np.zeros((1, 3), np.float32)})


def test_an_exported_program_is_converted(tmp_path: Path) -> None:
    lookup = Lookup().eval()
    inputs = (torch.zeros(2, 5, dtype=torch.int64), torch.randn(2, 5))
    export(lookup, inputs, tmp_path / "model.pt2")
    report = convert(tmp_path, RuntimeManifest("torch_export", {"model": "model.pt2"}))
    assert report.parity.agreed, report.parity
    names = [spec.name for spec in (*report.signature.inputs, *report.signature.outputs)]
    assert names == ["ids", "weights", "output_0", "output_1"]
    rows: dict[str, Tensor] = {
        "ids": np.arange(10).reshape(2, 5),
        "weights": np.ones((2, 5), np.float32),
    }
    answer = served(tmp_path, report, rows)
    for one, other in zip(answer.values(), own(lookup, *rows.values()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    # What the embedding does not have is refused by the graph, too.
    with pytest.raises(Invalid):
        served(tmp_path, report, rows | {"ids": np.full((2, 5), 99)})


def test_a_fixed_batch_is_noted(heads: TwoHeads, tmp_path: Path) -> None:
    export(heads, (torch.randn(2, 4),), tmp_path / "model.pt2", dynamic=False)
    model = loaded(tmp_path / "model.pt2", "torch_export")
    assert signature_of(model).inputs[0].shape == (2, 4)
    assert "batches of one size only" in model.notes[0]
    assert not model.stackable


def test_a_script_is_described_by_a_sample_and_converted(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    script(network, tmp_path / "model.pt")
    manifest = RuntimeManifest("torchscript", {"model": "model.pt"})
    with pytest.raises(Invalid, match="nothing tells what this model takes and gives"):
        convert(tmp_path, manifest)
    report = convert(tmp_path, manifest, Sample.parse(ROWS.tolist()))
    assert report.parity.agreed, report.parity
    assert report.signature == Signature(
        (TensorSpec("features", Datatype.FP32, (-1, 4)),),
        (TensorSpec("output", Datatype.FP32, (-1, 2)),),
    )
    model = loaded(tmp_path / "model.pt", "torchscript", report.signature)
    (expected,) = [network(torch.from_numpy(ROWS)).detach().numpy()]
    np.testing.assert_allclose(model.infer({"features": ROWS})["output"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        served(tmp_path, report, {"features": ROWS})["output"], expected, rtol=1e-4, atol=1e-6
    )
    with pytest.raises(Invalid, match="the model refused the input: RuntimeError"):
        model.infer({"features": np.zeros((1, 3), np.float32)})


class Chooses(torch.nn.Module):  # type: ignore[misc]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            return x * 2
        return x - 1


def test_a_script_that_decides_by_its_values_keeps_both_ways(tmp_path: Path) -> None:
    script(Chooses(), tmp_path / "model.pt")
    report = convert(
        tmp_path,
        RuntimeManifest("torchscript", {"model": "model.pt"}),
        Sample.parse([[1.0, 2.0]]),
    )
    model = loaded(tmp_path / "model.pt", "torchscript", report.signature)
    for sign in (1, -1):
        rows = {"features": np.array([[sign, 2 * sign]], np.float32)}
        expected = Chooses()(torch.from_numpy(rows["features"])).numpy()
        np.testing.assert_allclose(model.infer(rows)["output"], expected)
        if report.converted:
            np.testing.assert_allclose(served(tmp_path, report, rows)["output"], expected)
    # One row decides for all that are in its call.
    assert not model.stackable


class Halves(torch.nn.Module):  # type: ignore[misc]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.bfloat16)


def test_types_that_the_protocol_has_not_are_refused(tmp_path: Path) -> None:
    export(Halves(), (torch.randn(2, 4),), tmp_path / "model.pt2")
    with pytest.raises(UnsupportedFormat, match=r"'output' is torch\.bfloat16"):
        loaded(tmp_path / "model.pt2", "torch_export")


@pytest.mark.parametrize("format_", ["torch_export", "torchscript"])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut off"])
def test_what_is_no_network_does_not_load(format_: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(CannotLoad, match="PyTorch does not load it as"):
        loaded(tmp_path / "model", format_)
