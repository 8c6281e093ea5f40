"""Converting a file as an import does."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import RuntimeManifest
from modelyard.serving.runtimes.onnx import open_model
from modelyard.training.conversion.converting import convert
from modelyard.training.conversion.report import ConversionReport
from modelyard.training.conversion.sample import Sample


def converted(path: Path, format_: str, sample: Any = None) -> ConversionReport:
    """The report of this file; `sample` is decoded JSON."""
    manifest = RuntimeManifest(format_, {"model": path.name})
    return convert(path.parent, manifest, Sample.parse(sample) if sample is not None else None)


def pickled(model: Any, folder: Path) -> Path:
    """The model in a file of this folder."""
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    return path


def served(folder: Path, report: ConversionReport, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the graph answers, read from the folder."""
    features = (folder / report.features).read_bytes() if report.features else None
    graph = (folder / report.graph).read_bytes()
    return open_model(graph, features, report.signature).infer(rows)


def assert_served_as_native(path: Path, format_: str, report: ConversionReport) -> None:
    """The graph's answers to rows that conversion has not seen equal the library's own."""
    generator = np.random.default_rng(7)
    (spec,) = report.signature.inputs
    rows = {spec.name: generator.normal(size=(50, *spec.shape[1:])).astype(np.float32)}
    native = load(path.parent, RuntimeManifest(format_, {"model": path.name})).infer(rows)
    for name, answer in served(path.parent, report, rows).items():
        if answer.dtype == object:
            assert answer.tolist() == native[name].tolist()
        else:
            np.testing.assert_allclose(answer, native[name], rtol=1e-4, atol=1e-5)


def names(signature: Signature) -> tuple[list[str], list[str]]:
    """Inputs and outputs."""
    return [s.name for s in signature.inputs], [s.name for s in signature.outputs]
