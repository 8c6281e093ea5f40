"""Small networks, saved as their users save them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch

os.environ["KERAS_BACKEND"] = "torch"


class TwoHeads(torch.nn.Module):  # type: ignore[misc]
    """Gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.last = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.last(torch.relu(self.first(x)))
        return {"logits": logits, "probabilities": torch.softmax(logits, 1)}


class Lookup(torch.nn.Module):  # type: ignore[misc]
    """Takes whole numbers and fractions, gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)

    def forward(
        self, ids: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.table(ids)
        return (found * weights.unsqueeze(-1)).sum(1), ids + 1


def export(network: Any, inputs: tuple[Any, ...], path: Path, *, dynamic: bool = True) -> None:
    """Save by `torch.export`, with a free batch if `dynamic`."""
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in inputs) if dynamic else None
    torch.export.save(torch.export.export(network.eval(), inputs, dynamic_shapes=shapes), path)


def script(network: Any, path: Path) -> None:
    """Save as TorchScript, whose functions are deprecated and still used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network.eval()), str(path))
