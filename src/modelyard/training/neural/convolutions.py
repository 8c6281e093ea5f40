"""Convolutions over the tokens of a text (Kim 2014), and the mean of their vectors."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

from modelyard.training.neural.pooling import pooled
from modelyard.training.neural.sequence import SequenceLayer


class Convolutions(msgspec.Struct, frozen=True):
    """`num_filters` filters of each of the sizes, in tokens, and the largest of what each finds."""

    num_filters: int = 100
    kernel_sizes: tuple[int, ...] = (3, 4, 5)

    def build(self, width: int, steps: int) -> SequenceLayer:
        """See `Reader`."""
        return ConvolutionLayer(self, width)


class ConvolutionLayer(SequenceLayer):
    """What is behind the end of a text counts as zeros, as what is before its beginning."""

    def __init__(self, told: Convolutions, width: int) -> None:
        super().__init__()
        self.width = told.num_filters * len(told.kernel_sizes)
        self.filters = nn.ModuleList(
            nn.Conv1d(width, told.num_filters, size) for size in told.kernel_sizes
        )

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """See `SequenceLayer`."""
        turned = (vectors * mask.unsqueeze(2)).transpose(1, 2)
        found = []
        for each in self.filters:
            before, after = reach(each)
            states = torch.relu(each(nn.functional.pad(turned, (before, after)))).transpose(1, 2)
            found.append(pooled(states, mask, "max"))
        return torch.cat(found, dim=1)


def reach(layer: nn.Module) -> tuple[int, int]:
    """The zeros before and behind a sequence, so that there is a state for each step."""
    size = int(layer.kernel_size[0])
    return (size - 1) // 2, size // 2


class Mean(msgspec.Struct, frozen=True):
    """The mean of the vectors, then a dense layer (Joulin et al. 2017, with one layer more)."""

    hidden_size: int = 128

    def build(self, width: int, steps: int) -> SequenceLayer:
        """See `Reader`."""
        return MeanLayer(width, self.hidden_size)


class MeanLayer(SequenceLayer):
    """The mean and the dense layer."""

    def __init__(self, width: int, hidden_size: int) -> None:
        super().__init__()
        self.width = hidden_size
        self.dense = nn.Sequential(nn.Linear(width, hidden_size), nn.ReLU())

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """See `SequenceLayer`."""
        dense: Tensor = self.dense(pooled(vectors, mask, "mean"))
        return dense
