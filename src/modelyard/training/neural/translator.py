"""From one text to another: an encoder and a decoder with attention (Bahdanau et al. 2015).

The encoder is a GRU that reads from both ends. The decoder, a GRU as well, writes token by token;
before each one it looks at the encoder's states, weighted by how well each fits its own state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from modelyard.training.neural.estimator import AT_ONCE, Network
from modelyard.training.neural.examples import Examples, tensor
from modelyard.training.neural.loop import Metric
from modelyard.training.neural.losses import Loss
from modelyard.training.neural.pooling import LEAST, pooled
from modelyard.training.neural.recurrent import Recurrent
from modelyard.training.neural.sequence import TextModule
from modelyard.training.rows import Array

NOTHING: Final = 0
"""Fills short targets up."""
EDGE: Final = 1
"""Stands before the first token of a target, and behind the last one."""
FIRST_TOKEN: Final = 2


class Memory(NamedTuple):
    """What the decoder looks at: states [n, tokens, width], the same as keys, and their mask."""

    states: Tensor
    keys: Tensor
    mask: Tensor


class TranslatorModule(TextModule):
    """`outputs` is the number of the target's tokens, with those that are none."""

    def __init__(self, told: EncoderDecoder, outputs: int) -> None:
        size = told.hidden_size
        reader = Recurrent("gru", size, pooling="mean").build(told.embedding_dim, 0)
        super().__init__(told.vocabulary, told.embedding_dim, reader, told.dropout, size)
        self.keys = nn.Linear(reader.width, size)
        self.query = nn.Linear(size, size, bias=False)
        self.fit = nn.Linear(size, 1, bias=False)
        self.written = nn.Embedding(outputs, told.embedding_dim)
        self.cell = nn.GRUCell(told.embedding_dim + reader.width, size)
        self.out = nn.Linear(size + reader.width, outputs)

    def read(self, tokens: Tensor) -> tuple[Memory, Tensor]:
        """The memory of the source [n, tokens], and the decoder's first state [n, size]."""
        vectors, mask = self.vectors(tokens)
        states = self.reader.states(vectors, mask)
        return Memory(states, self.keys(states), mask), self.begin(pooled(states, mask, "mean"))

    def begin(self, mean: Tensor) -> Tensor:
        """The decoder's first state."""
        return torch.tanh(self.head(mean))

    def step(self, token: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The outputs for the token after this one, [n, outputs], and the next state."""
        looked = torch.tanh(self.query(state).unsqueeze(1) + memory.keys)
        scores = self.fit(looked).squeeze(2) + (1 - memory.mask) * LEAST
        context = (torch.softmax(scores, dim=1).unsqueeze(2) * memory.states).sum(dim=1)
        state = self.cell(torch.cat([self.written(token), context], dim=1), state)
        return self.out(torch.cat([state, context], dim=1)), state

    def forward(self, tokens: Tensor, before: Tensor) -> Tensor:  # type: ignore[override]
        """The outputs behind each of the tokens `before` [n, steps]: [n, steps, outputs]."""
        memory, state = self.read(tokens)
        steps = []
        for token in before.unbind(dim=1):
            outputs, state = self.step(token, state, memory)
            steps.append(outputs)
        return torch.stack(steps, dim=1)


class EncoderDecoder(msgspec.Struct, frozen=True):
    """See `Architecture`. `hidden_size` is that of either way of the encoder, and the decoder's."""

    vocabulary: int
    embedding_dim: int = 64
    hidden_size: int = 128
    dropout: float = 0.1

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """See `Architecture`."""
        return TranslatorModule(self, outputs)


class Translator(Network):
    """Targets are texts of `characters`, or of `words` parted by spaces."""

    def set_writing(self, written: str) -> Translator:
        """What a target consists of: `characters` or `words`."""
        self.written_ = written
        return self

    def fit(self, sequences: Array, target: Array) -> Translator:
        """Learn from `sequences` [n, tokens] and the texts that they are to become [n].

        Raises:
            ValueError: the recipe's loss is not cross-entropy, or a target is too long.
            ArithmeticError: the loss got lost.
        """
        if self.recipe.loss not in (None, "cross_entropy"):
            raise ValueError(f"texts are learned by cross_entropy, not by {self.recipe.loss}")
        texts = [self._tokens(text) for text in target]
        self.tokens_ = sorted({token for text in texts for token in text})
        self.steps_ = max(map(len, texts)) + 1
        if self.steps_ > MAX_STEPS:
            raise ValueError(f"a target has {self.steps_ - 1} tokens; {MAX_STEPS - 1} are learned")
        number_of = {token: number for number, token in enumerate(self.tokens_, FIRST_TOKEN)}
        after = np.full((len(texts), self.steps_), NOTHING, np.int64)
        for row, text in enumerate(texts):
            after[row, : len(text)] = [number_of[token] for token in text]
            after[row, len(text)] = EDGE
        before = np.concatenate([np.full((len(texts), 1), EDGE), after[:, :-1]], axis=1)
        outputs = FIRST_TOKEN + len(self.tokens_)
        loss, metric = _loss(self.recipe.label_smoothing), Metric("accuracy", _accuracy)
        self._learn(Examples(sequences, before, after), loss, outputs, metric, None)
        return self

    def predict(self, sequences: Array) -> Array:
        """The likeliest token after each one, until the end or as far as targets went: [n]."""
        said: list[str] = []
        with torch.inference_mode():
            for start in range(0, len(sequences), AT_ONCE):
                said.extend(self._said(tensor(sequences[start : start + AT_ONCE])))
        return np.array(said, dtype=object)

    def _said(self, tokens: Tensor) -> Sequence[str]:
        memory, state = self.module.read(tokens)
        token = torch.full((len(tokens),), EDGE)
        steps = []
        for _ in range(self.steps_):
            outputs, state = self.module.step(token, state, memory)
            token = outputs.argmax(dim=1)
            steps.append(token)
        join = ("" if self.written_ == "characters" else " ").join
        return [join(self._until_end(row)) for row in torch.stack(steps, dim=1).tolist()]

    def _until_end(self, numbers: Sequence[int]) -> Sequence[str]:
        tokens = []
        for number in numbers:
            if number < FIRST_TOKEN:
                break
            tokens.append(self.tokens_[number - FIRST_TOKEN])
        return tokens

    def _tokens(self, text: str) -> Sequence[str]:
        return list(text) if self.written_ == "characters" else text.split()


MAX_STEPS: Final = 512
"""Tokens of a target, with its end."""


def _loss(smoothing: float) -> Loss:
    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(
            outputs.transpose(1, 2), target, ignore_index=NOTHING, label_smoothing=smoothing
        )

    return loss


def _accuracy(outputs: Tensor, target: Tensor) -> float:
    known = target != NOTHING
    return float((outputs.argmax(dim=2) == target)[known].float().mean())
