"""Recurrent layers: Elman's, LSTM (Hochreiter and Schmidhuber 1997) and GRU (Cho et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from modelyard.training.neural.pooling import pooled
from modelyard.training.neural.sequence import SequenceLayer

CELLS: Final[Mapping[str, type[nn.RNNBase]]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(msgspec.Struct, frozen=True):
    """Layers of one kind of cell, one on the other; see `Reader`.

    `bidirectional` layers read from both ends. `pooling` is one of `POOLINGS`; the last state of
    the way back is that of the first step.
    """

    cell: str
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = True
    pooling: str = "max"

    def build(self, width: int, steps: int) -> SequenceLayer:
        """See `Reader`."""
        return RecurrentLayer(self, width)


class RecurrentLayer(SequenceLayer):
    """The layers, and how their states are pooled."""

    def __init__(self, told: Recurrent, width: int) -> None:
        super().__init__()
        self.cell = told.cell
        self.pooling = told.pooling
        self.hidden_size = told.hidden_size
        ways = 2 if told.bidirectional else 1
        self.width = told.hidden_size * ways
        self.layers = nn.ModuleList(
            CELLS[told.cell](
                width if layer == 0 else self.width,
                told.hidden_size,
                batch_first=True,
                bidirectional=told.bidirectional,
            )
            for layer in range(told.num_layers)
        )

    def states(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """See `SequenceLayer`."""
        steps = vectors.shape[1]
        if bool(mask.all()):
            for layer in self.layers:
                vectors, _ = layer(vectors)
            return vectors
        lengths = mask.sum(dim=1).to(torch.int64)
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        for layer in self.layers:
            packed, _ = layer(packed)
        states, _ = pad_packed_sequence(packed, batch_first=True, total_length=steps)
        return states

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """See `SequenceLayer`."""
        states = self.states(vectors, mask)
        if self.pooling != "last" or self.width == self.hidden_size:
            return pooled(states, mask, self.pooling)
        there = pooled(states[:, :, : self.hidden_size], mask, self.pooling)
        return torch.cat([there, states[:, 0, self.hidden_size :]], dim=1)
