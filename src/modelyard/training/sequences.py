"""Texts as sequences of numbers, for models that read tokens in their order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from modelyard.core.errors import Invalid
from modelyard.serving.runtimes.text import FIRST, SequenceInput, SequenceReader
from modelyard.serving.runtimes.tokens import Tokens, tokenizer
from modelyard.training.spec import TextTokens
from modelyard.training.splitting import lexicon_of, tokens_for

if TYPE_CHECKING:
    import polars as pl

TENSOR: Final = "sequence"
"""What the graph calls the numbers, behind the builder's prefix."""


class TokenSequences(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A column of texts to INT64 [n, tokens of the longest], as serving reads them.

    The vocabulary is the commonest tokens of the texts that it is fitted to, of which each occurs
    `min_count` times; equals go by the alphabet. Texts that are `split` already have spaces between
    their tokens, which are taken as they are.
    """

    def __init__(
        self,
        column: str,
        tokens: TextTokens = TextTokens.AUTO,
        split: bool = False,
        max_length: int = 256,
        max_vocabulary: int = 20_000,
        min_count: int = 2,
    ) -> None:
        self.column = column
        self.tokens = tokens
        self.split = split
        self.max_length = max_length
        self.max_vocabulary = max_vocabulary
        self.min_count = min_count

    def fit(self, features: pl.DataFrame, _: Any = None) -> TokenSequences:
        """Learn the vocabulary. Raises Invalid when there would be none."""
        texts = features.get_column(self.column)
        tokens = "space" if self.split else tokens_for(texts, self.tokens, spaced="term")
        lexicon = lexicon_of(texts) if tokens == "segment" else {}
        vocabulary = self._vocabulary(texts, tokens, lexicon)
        if not vocabulary:
            raise Invalid(
                f"no token of column '{self.column}' occurs {self.min_count} times: "
                "set min_count lower"
            )
        self.spec_ = SequenceInput(
            self.column, TENSOR, not self.split, tokens, self.max_length, vocabulary, lexicon
        )
        return self

    @property
    def vocabulary(self) -> int:
        """How many different numbers there are."""
        return FIRST + len(self.spec_.vocabulary)

    def transform(self, features: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The numbers of the tokens."""
        return SequenceReader(self.spec_).read(features.get_column(self.column).to_list())

    def _vocabulary(
        self, texts: pl.Series, tokens: Tokens, lexicon: dict[str, float]
    ) -> tuple[str, ...]:
        split = tokenizer(tokens, lexicon)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split(text if self.split else text.lower()))
        common = sorted(
            (token for token, count in counts.items() if count >= self.min_count),
            key=lambda token: (-counts[token], token),
        )
        return tuple(common[: self.max_vocabulary])
