"""Networks that read sequences: the tokens of a text, or the steps of a window.

A sequence is a batch of vectors X [n, steps, width] with a mask M [n, steps], which is 1 where
there is a step and 0 behind the end. What reads it, its *reader*, gives a vector for each step or
one for the whole; padding never changes either.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import torch
from torch import Tensor, nn

from modelyard.serving.runtimes.text import PADDING
from modelyard.training.rows import Array
from modelyard.training.word_vectors import learn_vectors

_SPREAD = 0.1
"""Of vectors that are drawn at random: word vectors learned by Word2Vec are of about that size."""


class Reader(Protocol):
    """The parameters of a reader. Implemented by frozen structs."""

    def build(self, width: int, steps: int) -> SequenceLayer:
        """A layer that reads vectors of this width, in training of up to so many steps."""
        ...


class SequenceLayer(nn.Module):  # type: ignore[misc]
    """Reads X [n, steps, width] with its mask [n, steps]; `width` is that of what it gives."""

    width: int

    def states(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """A vector for each step: [n, steps, width]."""
        raise NotImplementedError

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """A vector for the whole: [n, width]."""
        raise NotImplementedError


class TextModule(nn.Module):  # type: ignore[misc]
    """Numbers of tokens [n, tokens] to outputs [n, outputs]."""

    def __init__(
        self, vocabulary: int, width: int, reader: SequenceLayer, dropout: float, outputs: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        with torch.no_grad():
            self.embedding.weight.mul_(_SPREAD)
        self.reader = reader
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(reader.width, outputs))
        self.dropout = nn.Dropout(dropout)

    def vectors(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens' vectors and their mask, as long as the longest of these texts."""
        mask = (tokens != PADDING).float()
        longest = int(mask.sum(dim=1).max())
        vectors = self.dropout(self.embedding(tokens[:, :longest]))
        return vectors, mask[:, :longest]

    def forward(self, tokens: Tensor) -> Tensor:
        """The outputs."""
        vectors, mask = self.vectors(tokens)
        outputs: Tensor = self.head(self.reader(vectors, mask))
        return outputs


class TextNetwork(msgspec.Struct, frozen=True):
    """A reader of the vectors of a text's tokens; see `Architecture` and `Primed`.

    `embedding` says where the vectors begin: drawn at `random`, or learned from the training rows
    by `word2vec`. Training changes them either way.
    """

    vocabulary: int
    reader: Reader
    embedding: str = "random"
    embedding_dim: int = 128
    dropout: float = 0.3

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """See `Architecture`."""
        reader = self.reader.build(self.embedding_dim, shape[0])
        return TextModule(self.vocabulary, self.embedding_dim, reader, self.dropout, outputs)

    def prime(self, module: nn.Module, inputs: Array, seed: int) -> None:
        """Set the vectors of the tokens in `inputs` [n, tokens], if they are learned first."""
        if self.embedding != "word2vec":
            return
        vectors = learn_vectors(
            inputs, size=self.embedding_dim, window=5, epochs=10, skip_gram=True, seed=seed
        )
        with torch.no_grad():
            table = module.get_parameter("embedding.weight")
            known = torch.from_numpy(vectors)
            seen = known.abs().sum(dim=1) > 0
            table[: len(known)][seen] = known[seen]


class WindowModule(nn.Module):  # type: ignore[misc]
    """Windows [n, steps * columns], step by step, to outputs [n, outputs]."""

    def __init__(self, steps: int, reader: SequenceLayer, dropout: float, outputs: int) -> None:
        super().__init__()
        self.steps = steps
        self.reader = reader
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(reader.width, outputs))

    def forward(self, windows: Tensor) -> Tensor:
        """The outputs."""
        vectors = windows.unflatten(1, (self.steps, -1))
        outputs: Tensor = self.head(self.reader(vectors, vectors.new_ones(vectors.shape[:2])))
        return outputs


class WindowNetwork(msgspec.Struct, frozen=True):
    """A reader of the steps of a window; see `Architecture`."""

    steps: int
    reader: Reader
    dropout: float = 0.0

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """See `Architecture`."""
        reader = self.reader.build(shape[0] // self.steps, self.steps)
        return WindowModule(self.steps, reader, self.dropout, outputs)
