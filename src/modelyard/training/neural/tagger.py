"""A network that gives each token of a text its tag."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from modelyard.serving.runtimes.text import PADDING
from modelyard.training.neural.estimator import AT_ONCE, Network
from modelyard.training.neural.examples import Examples, tensor
from modelyard.training.neural.loop import Metric
from modelyard.training.neural.losses import Loss
from modelyard.training.neural.sequence import TextModule, TextNetwork
from modelyard.training.rows import Array

NO_TAG: Final = -100
"""The place of a tag where there is no token."""


class TagModule(TextModule):
    """Numbers of tokens [n, tokens] to outputs [n, tokens of the longest, tags]."""

    def forward(self, tokens: Tensor) -> Tensor:
        """The outputs."""
        vectors, mask = self.vectors(tokens)
        outputs: Tensor = self.head(self.reader.states(vectors, mask))
        return outputs


class TagNetwork(TextNetwork, frozen=True):
    """A reader of tokens that keeps what it has read at each; see `Architecture`."""

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """See `Architecture`."""
        reader = self.reader.build(self.embedding_dim, shape[0])
        return TagModule(self.vocabulary, self.embedding_dim, reader, self.dropout, outputs)


class Tagger(Network):
    """Tags are told and given as one string for each text, parted by spaces."""

    def fit(self, sequences: Array, target: Array) -> Tagger:
        """Learn from `sequences` [n, tokens] and their tags [n].

        Raises:
            ValueError: the recipe's loss is not cross-entropy.
            ArithmeticError: the loss got lost.
        """
        if self.recipe.loss not in (None, "cross_entropy"):
            raise ValueError(f"tags are learned by cross_entropy, not by {self.recipe.loss}")
        tags = [text.split() for text in target]
        self.tags_ = sorted({tag for text in tags for tag in text})
        place_of = {tag: place for place, tag in enumerate(self.tags_)}
        places = np.full(sequences.shape, NO_TAG, np.int64)
        for row, text in enumerate(tags):
            kept = [place_of[tag] for tag in text[: sequences.shape[1]]]
            places[row, : len(kept)] = kept
        counts = np.bincount(places[places != NO_TAG], minlength=len(self.tags_))
        weights = None
        if self.recipe.class_weight == "balanced":
            weights = tensor(counts.sum() / (len(counts) * counts.astype(np.float32)))
        loss, metric = _loss(weights, self.recipe.label_smoothing), Metric("accuracy", _accuracy)
        self._learn(Examples(sequences, places), loss, len(self.tags_), metric, None)
        return self

    def predict(self, sequences: Array) -> Array:
        """The likeliest tag of each token, parted by spaces: [n]."""
        said: list[str] = []
        with torch.inference_mode():
            for start in range(0, len(sequences), AT_ONCE):
                part = sequences[start : start + AT_ONCE]
                places = self.module(tensor(part)).argmax(dim=2).numpy()
                for row, lengths in zip(places, (part != PADDING).sum(axis=1), strict=True):
                    said.append(" ".join(self.tags_[place] for place in row[:lengths]))
        return np.array(said, dtype=object)


def _loss(weights: Tensor | None, smoothing: float) -> Loss:
    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        told = target[:, : outputs.shape[1]]
        return nn.functional.cross_entropy(
            outputs.transpose(1, 2),
            told,
            weight=weights,
            ignore_index=NO_TAG,
            label_smoothing=smoothing,
        )

    return loss


def _accuracy(outputs: Any, target: Tensor) -> float:
    told = target[:, : outputs.shape[1]]
    known = told != NO_TAG
    return float((outputs.argmax(dim=2) == told)[known].float().mean())
