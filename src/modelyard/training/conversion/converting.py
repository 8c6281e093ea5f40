"""A model of another library: loaded, asked for sample rows, and converted to ONNX if it can be.

This executes what is in the model's files: it is called in a sandboxed process only.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid, ModelFailed, ModelyardError
from modelyard.core.profile import Profile
from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor, TensorSpec, datatype_of
from modelyard.registry.parity import Parity
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import LoadedModel, RuntimeManifest
from modelyard.serving.runtimes.function import FunctionModel, describe
from modelyard.serving.runtimes.measuring import measure
from modelyard.serving.runtimes.onnx import OnnxRuntime, open_model
from modelyard.training.conversion.agreement import compare
from modelyard.training.conversion.convertible import Graph
from modelyard.training.conversion.report import ConversionReport
from modelyard.training.conversion.sample import Sample, synthesize, with_gaps

GRAPH_FILE: Final = "converted.onnx"
FEATURES_FILE: Final = "converted.features.json"

Converter = Callable[[Any, Signature, Mapping[str, Tensor]], Iterator[Graph]]
"""`to_onnx(model of the library, signature, sample rows)`: graphs to try, the best first.

It raises NotConvertible, or whatever the library's exporter raises.
"""

_CONVERTERS: Final[Mapping[str, str]] = {
    "pickle": "sklearn_graph",
    "joblib": "sklearn_graph",
    "skops": "sklearn_graph",
    "xgboost": "xgboost_trees",
    "lightgbm": "lightgbm_trees",
    "torch_export": "torch_graph",
    "torchscript": "torch_graph",
    "keras": "keras_graph",
    "keras_h5": "keras_graph",
}
_LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "pickle": ("scikit-learn",),
    "joblib": ("scikit-learn", "joblib"),
    "skops": ("scikit-learn", "skops"),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "lightgbm": ("lightgbm",),
    "torch_export": ("torch",),
    "torchscript": ("torch",),
    "keras": ("keras", "torch"),
    "keras_h5": ("keras", "torch"),
}

logger = logging.getLogger(__name__)


def convert(
    folder: Path, manifest: RuntimeManifest, sample: Sample | None = None
) -> ConversionReport:
    """Load the model, ask it for the sample, convert it, and compare the two forms.

    The graph is written into the folder. Without a sample, rows are made up from the signature.

    Raises:
        CannotLoad: the files are no model; the message says why.
        NotInstalled: its library is missing; the message names the extra.
        Invalid: nothing tells what the model takes, or it fails on the sample.
    """
    model = load(folder, manifest)
    try:
        return _convert(folder, manifest, model, sample)
    finally:
        model.unload()


def _convert(
    folder: Path, manifest: RuntimeManifest, model: LoadedModel, sample: Sample | None
) -> ConversionReport:
    warnings = list(model.notes)
    signature = model.signature or _signature_from(model, sample)
    rows, native = _ask(model, signature, sample)
    if sample is None:
        warnings.append("it was tried on made-up rows; a sample of real ones proves more")
    warnings += _surprises(signature, native)
    best = _best_graph(manifest, model, signature, rows, native)
    graph = best.graph if best.parity.agreed else None
    if graph is not None:
        (folder / GRAPH_FILE).write_bytes(graph.data)
    if graph is not None and graph.features is not None:
        (folder / FEATURES_FILE).write_bytes(graph.features)
    return ConversionReport(
        signature=signature,
        parity=best.parity,
        native=_profile(model),
        kind=model.kind,
        graph=GRAPH_FILE if graph is not None else "",
        features=FEATURES_FILE if graph is not None and graph.features is not None else "",
        served=_profile(best.runtime) if graph is not None and best.runtime is not None else None,
        streams=model.streams,
        warnings=tuple(dict.fromkeys(warnings)),
        libraries=_versions(manifest.format),
    )


def _signature_from(model: LoadedModel, sample: Sample | None) -> Signature:
    """What a model takes that does not tell: the sample's tensors, and whatever it answers."""
    if sample is None:
        raise Invalid(
            "nothing tells what this model takes and gives: import it with a sample of its inputs "
            "(--sample FILE) or with a signature"
        )
    inputs = sample.inputs()
    outputs = model.infer(sample.fit(inputs))
    specs = tuple(_output_spec(name, tensor) for name, tensor in outputs.items())
    signature = Signature(inputs, specs)
    measure(model, signature)
    return signature


def _output_spec(name: str, tensor: Tensor) -> TensorSpec:
    return TensorSpec(name, datatype_of(tensor), (-1, *tensor.shape[1:]))


def _ask(
    model: LoadedModel, signature: Signature, sample: Sample | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The rows and the model's answer: the canary. Made-up rows may be refused; zeros then do."""
    if sample is not None:
        rows = with_gaps(signature.inputs, sample.fit(signature.inputs))
        return rows, _answer(model, rows)
    rows = with_gaps(signature.inputs, synthesize(signature.inputs))
    try:
        return rows, model.infer(rows)
    except (Invalid, ModelFailed):
        rows = {spec.name: _zeros(spec) for spec in signature.inputs}
        return rows, _answer(model, rows)


def _answer(model: LoadedModel, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        return model.infer(rows)
    except (Invalid, ModelFailed) as error:
        raise Invalid(f"the model fails on the sample rows: {error.message}") from None


def _zeros(spec: TensorSpec) -> Tensor:
    shape = tuple(max(size, 1) for size in spec.shape)
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, "", np.object_)
    return np.zeros(shape, NUMPY[spec.datatype])


def _surprises(signature: Signature, outputs: Mapping[str, Tensor]) -> list[str]:
    lines = []
    for spec in signature.outputs:
        output = outputs.get(spec.name)
        if output is None:
            raise Invalid(f"the model gives no output '{spec.name[:80]}', which its signature has")
        if not spec.fits(output.shape) or output.dtype != NUMPY[spec.datatype]:
            raise Invalid(
                f"output '{spec.name[:80]}' is {output.dtype} {list(output.shape)}; the signature "
                f"says {spec.datatype} {list(spec.shape)}"
            )
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            lines.append(f"output '{spec.name}' is not finite for some sample rows")
    return lines


class _Trial(msgspec.Struct):
    """A graph, how it compares, and its session; or the reason why there is none."""

    parity: Parity
    graph: Graph | None = None
    runtime: OnnxRuntime | None = None


def _best_graph(
    manifest: RuntimeManifest,
    model: LoadedModel,
    signature: Signature,
    rows: Mapping[str, Tensor],
    native: Mapping[str, Tensor],
) -> _Trial:
    """The first graph that agrees, or the last that does not.

    Whatever goes wrong is no failure: the model is served as it is, and the reason is told.
    """
    module = _CONVERTERS.get(manifest.format)
    if module is None or not isinstance(model, FunctionModel):
        return _Trial(Parity(agreed=False, reason="models of this format are served as they are"))
    best: _Trial | None = None
    try:
        converter: Converter = importlib.import_module(
            f"modelyard.training.conversion.{module}"
        ).to_onnx
        for graph in converter(model.native, signature, rows):
            runtime = open_model(graph.data, graph.features, signature)
            best = _Trial(compare(signature, native, runtime.infer(rows)), graph, runtime)
            if best.parity.agreed:
                break
    except ModuleNotFoundError as error:
        return best or _unconverted(f"the converter needs '{error.name}', which is not installed")
    except ModelyardError as error:
        return best or _unconverted(error.message)
    except Exception as error:
        logger.info("not converted", exc_info=True)
        return best or _unconverted(f"not converted: {describe(error)}")
    return best or _unconverted("the converter gave nothing")


def _unconverted(reason: str) -> _Trial:
    return _Trial(Parity(agreed=False, reason=reason))


def _profile(model: LoadedModel) -> Profile:
    return Profile(model.memory_bytes, model.call_seconds, model.row_seconds, model.stackable)


def _versions(format_: str) -> dict[str, str]:
    found = {}
    for library in (*_LIBRARIES.get(format_, ()), "onnxruntime"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
