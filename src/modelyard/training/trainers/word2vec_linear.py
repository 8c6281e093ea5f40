"""A linear model on word vectors that are learned from the same texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Parameter,
    Reads,
    choice,
    flag,
    real,
    whole,
)

READING: Final[Mapping[str, Parameter]] = {
    "max_length": whole(1, 2000),
    "max_vocabulary": whole(10, 100_000),
    "min_count": whole(1, 1000),
}
"""How texts become sequences: parameters of every algorithm that reads them."""
VECTORS: Final[Mapping[str, Parameter]] = {
    "vector_size": whole(2, 1000),
    "window": whole(1, 50),
    "epochs": whole(1, 200),
    "skip_gram": flag(),
    "weighting": choice("mean", "idf"),
}


def _word2vec_linear(fit: Fit) -> Estimator:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from modelyard.training.word_vectors import WordVectors

    given = dict(fit.parameters)
    options = {name: given[name] for name in VECTORS if name in given}
    vectors = WordVectors(seed=fit.seed, **options)
    strength = float(given.get("C", 1.0))
    if fit.task is TaskKind.CLASSIFICATION:
        head = LogisticRegression(C=strength, max_iter=1000, random_state=fit.seed)
    else:
        head = Ridge(alpha=1 / strength)
    return Pipeline([("vectors", vectors), ("scale", StandardScaler()), ("head", head)])


WORD2VEC_LINEAR: Final = Algorithm(
    name="word2vec_linear",
    tasks=frozenset({TaskKind.CLASSIFICATION, TaskKind.REGRESSION}),
    parameters={**READING, **VECTORS, "C": real(1e-9, 1e9)},
    build=_word2vec_linear,
    scaled=False,
    max_rows=500_000,
    max_cells=500_000_000,
    tried=False,
    library="gensim",
    extra="words",
    reads=Reads.TEXT,
    space={
        "vector_size": Axis(choices=(50, 100, 200)),
        "window": Axis(2, 10, whole=True),
        "weighting": Axis(choices=("mean", "idf")),
        "C": Axis(1e-3, 1e2, log=True),
    },
)
