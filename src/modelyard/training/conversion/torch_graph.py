"""PyTorch networks as ONNX, by PyTorch's own exporters."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import torch

from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.torch_tensors import to_torch
from modelyard.training.conversion.convertible import Graph, NotConvertible
from modelyard.training.conversion.outputs import OPSET


def to_onnx(network: Any, signature: Signature, rows: Mapping[str, Tensor]) -> Iterator[Graph]:
    """The network as a graph. Whatever the exporter raises comes through."""
    tensors = tuple(to_torch(rows[spec.name]) for spec in signature.inputs)
    if isinstance(network.program, torch.export.ExportedProgram):
        yield _from_program(network.program, signature)
    else:
        yield from_module(network.program, signature, tensors)


def _from_program(program: Any, signature: Signature) -> Graph:
    with quietly():
        exported = torch.onnx.export(program, dynamo=True, verbose=False, opset_version=OPSET)
        model = exported.model_proto
    return Graph(_renamed(model, signature).SerializeToString())


def from_module(module: Any, signature: Signature, tensors: tuple[torch.Tensor, ...]) -> Graph:
    """A scripted or traceable module, by the exporter that traces it."""
    names = [spec.name for spec in signature.inputs]
    outputs = [spec.name for spec in signature.outputs]
    free = {
        spec.name: {at: f"{spec.name}_{at}" for at, size in enumerate(spec.shape) if size == -1}
        for spec in (*signature.inputs, *signature.outputs)
    }
    with quietly(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            tensors,
            file,
            dynamo=False,
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: axes for name, axes in free.items() if axes},
            opset_version=OPSET,
        )
        return Graph(file.read_bytes())


def _renamed(model: Any, signature: Signature) -> Any:
    """The graph with the signature's names: exporters call outputs by the last operator."""
    graph = model.graph
    inputs, outputs = [one.name for one in graph.input], [one.name for one in graph.output]
    if len(inputs) != len(signature.inputs) or len(outputs) != len(signature.outputs):
        raise NotConvertible(
            f"the exported graph has {len(inputs)} inputs and {len(outputs)} outputs, the network "
            f"{len(signature.inputs)} and {len(signature.outputs)}"
        )
    if inputs != [spec.name for spec in signature.inputs]:
        raise NotConvertible("the exported graph has other inputs than the network")
    for own, spec in zip(outputs, signature.outputs, strict=True):
        if own != spec.name:
            graph.node.append(onnx.helper.make_node("Identity", [own], [spec.name]))
    for value, spec in zip(graph.output, signature.outputs, strict=True):
        value.name = spec.name
    onnx.checker.check_model(model)
    return model


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what exporters print, log and warn."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
