"""Keras networks as ONNX: they run on PyTorch here, whose exporter traces them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.torch_tensors import to_torch
from modelyard.training.conversion.convertible import Graph
from modelyard.training.conversion.torch_graph import from_module


def to_onnx(network: Any, signature: Signature, rows: Mapping[str, Tensor]) -> Iterator[Graph]:
    """The network as a graph. Whatever the exporter raises comes through."""
    tensors = tuple(to_torch(rows[spec.name]) for spec in signature.inputs)
    names = [spec.name for spec in signature.outputs]
    yield from_module(_Flat(network, names), signature, tensors)


class _Flat(torch.nn.Module):  # type: ignore[misc]
    """The network with its tensors in order, which is what the exporter takes."""

    def __init__(self, network: Any, outputs: list[str]) -> None:
        super().__init__()
        self._network = network
        self._model = network.model
        self._outputs = outputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self._network.call(tensors)
        return tuple(answer[name] for name in self._outputs)
