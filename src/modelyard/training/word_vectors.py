"""Word2Vec (Mikolov et al. 2013) on the numbers of tokens, and the mean vectors of texts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from modelyard.serving.runtimes.text import FIRST

Array = np.ndarray[Any, Any]

LEAST_WEIGHT: Final = 1e-9


def learn_vectors(
    sequences: Array, *, size: int, window: int, epochs: int, skip_gram: bool, seed: int
) -> Array:
    """Vectors of tokens, FP32 [vocabulary + 2, size], from sequences [n, tokens].

    Padding and unknown tokens have vectors of zeros. One thread, so that the seed decides all.
    """
    from gensim.models import Word2Vec

    sentences = [[int(token) for token in row if token >= FIRST] for row in sequences]
    vectors = np.zeros((int(sequences.max()) + 1, size), np.float32)
    if not any(len(sentence) > 1 for sentence in sentences):
        return vectors
    model = Word2Vec(
        sentences,
        vector_size=size,
        window=window,
        epochs=epochs,
        sg=int(skip_gram),
        seed=seed,
        workers=1,
        min_count=1,
    )
    vectors[np.asarray(model.wv.index_to_key, np.intp)] = model.wv.vectors
    return vectors


class WordVectors(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Sequences [n, tokens] to the weighted means of their vectors, FP32 [n, vector_size].

    With `weighting` `idf` a token counts the more the fewer texts have it, by scikit-learn's
    smoothed inverse document frequency. `table_` holds each token's vector times its weight, and
    the weight as its last column; unknown tokens and padding weigh nothing, nor does what comes
    behind the last token that training saw, whose row is the last one.
    """

    def __init__(
        self,
        vector_size: int = 100,
        window: int = 5,
        epochs: int = 10,
        skip_gram: bool = True,
        weighting: str = "idf",
        seed: int = 0,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.epochs = epochs
        self.skip_gram = skip_gram
        self.weighting = weighting
        self.seed = seed

    def fit(self, sequences: Array, _: Any = None) -> WordVectors:
        """Learn vectors and weights."""
        vectors = learn_vectors(
            sequences,
            size=self.vector_size,
            window=self.window,
            epochs=self.epochs,
            skip_gram=self.skip_gram,
            seed=self.seed,
        )
        weights = np.ones(len(vectors), np.float32)
        if self.weighting == "idf":
            texts = np.zeros(len(vectors))
            for row in sequences:
                texts[np.unique(row)] += 1
            weights = np.log((1 + len(sequences)) / (1 + texts)).astype(np.float32) + 1
        weights[:FIRST] = 0
        table = np.concatenate([vectors * weights[:, None], weights[:, None]], axis=1)
        self.table_ = np.concatenate([table, np.zeros_like(table[:1])])
        return self

    def transform(self, sequences: Array) -> Array:
        """The mean vectors; zeros for a text of unknown tokens."""
        means = np.empty((len(sequences), self.vector_size), np.float32)
        for row, sequence in enumerate(sequences):
            total = self.table_[np.minimum(sequence, len(self.table_) - 1)].sum(axis=0)
            means[row] = total[:-1] / max(total[-1], LEAST_WEIGHT)
        return means
