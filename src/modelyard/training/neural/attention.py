"""A transformer's encoder (Vaswani et al. 2017), with normalisation before each part."""

from __future__ import annotations

import math

import msgspec
import torch
from torch import Tensor, nn

from modelyard.training.neural.pooling import LEAST, pooled, positions
from modelyard.training.neural.sequence import SequenceLayer


class Encoder(msgspec.Struct, frozen=True):
    """Layers of attention; see `Reader`. `hidden_size` is a multiple of `num_heads`."""

    hidden_size: int = 128
    num_layers: int = 2
    num_heads: int = 4
    feedforward_size: int = 256
    attention_dropout: float = 0.1
    pooling: str = "mean"

    def build(self, width: int, steps: int) -> SequenceLayer:
        """See `Reader`. Raises ValueError when the heads do not share the width evenly."""
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}"
            )
        return EncoderLayers(self, width, steps)


class EncoderLayers(SequenceLayer):
    """The vectors brought to the layers' width, their places added, and the layers.

    A step behind the longest sequence of training has the place of that one's last step.
    """

    def __init__(self, told: Encoder, width: int, steps: int) -> None:
        super().__init__()
        self.width = told.hidden_size
        self.pooling = told.pooling
        self.project = nn.Linear(width, told.hidden_size)
        self.places = nn.Buffer(_places(steps, told.hidden_size), persistent=False)
        self.blocks = nn.ModuleList(Block(told) for _ in range(told.num_layers))
        self.norm = nn.LayerNorm(told.hidden_size)

    def states(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """See `SequenceLayer`."""
        found = self.project(vectors) + self.places[positions(mask, len(self.places) - 1)]
        for block in self.blocks:
            found = block(found, mask)
        states: Tensor = self.norm(found)
        return states

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """See `SequenceLayer`."""
        return pooled(self.states(vectors, mask), mask, self.pooling)


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a feed-forward part, each added to what came in."""

    def __init__(self, told: Encoder) -> None:
        super().__init__()
        self.heads = told.num_heads
        self.attention_norm = nn.LayerNorm(told.hidden_size)
        self.queries_keys_values = nn.Linear(told.hidden_size, 3 * told.hidden_size)
        self.out = nn.Linear(told.hidden_size, told.hidden_size)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(told.hidden_size),
            nn.Linear(told.hidden_size, told.feedforward_size),
            nn.GELU(),
            nn.Linear(told.feedforward_size, told.hidden_size),
        )
        self.dropout = nn.Dropout(told.attention_dropout)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """[n, steps, width] to the same."""
        all_three = self.queries_keys_values(self.attention_norm(vectors))
        queries, keys, values = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in all_three.chunk(3, dim=2)
        )
        scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[3])
        scores = scores + (1 - mask)[:, None, None, :] * LEAST
        found = torch.softmax(scores, dim=3) @ values
        vectors = vectors + self.dropout(self.out(found.transpose(1, 2).flatten(2)))
        added: Tensor = vectors + self.dropout(self.feedforward(vectors))
        return added


def _places(steps: int, width: int) -> Tensor:
    """Sines and cosines of the place, of many wavelengths: [steps, width]."""
    place = torch.arange(steps, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    table = torch.zeros(steps, width)
    table[:, 0::2] = torch.sin(place * rates)
    table[:, 1::2] = torch.cos(place * rates)[:, : width // 2]
    return table
