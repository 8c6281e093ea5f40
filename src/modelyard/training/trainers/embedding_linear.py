"""A linear model on the vectors that a sentence embedder gives of the texts."""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    CLASS_WEIGHT,
    PREDICTING,
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Reads,
    real,
)

_STRENGTH: Final = 10.0
"""Vectors have length one, so weights must be larger than of numbers that are scaled."""


def _embedding_linear(fit: Fit) -> Estimator:
    from sklearn.linear_model import LogisticRegression, Ridge

    given = {"C": _STRENGTH, **fit.parameters}
    if fit.task is TaskKind.CLASSIFICATION:
        return LogisticRegression(max_iter=1000, random_state=fit.seed, **given)
    return Ridge(alpha=1 / float(given["C"]), random_state=fit.seed)


EMBEDDING_LINEAR: Final = Algorithm(
    name="embedding_linear",
    tasks=PREDICTING,
    parameters={"C": real(1e-9, 1e9), "class_weight": CLASS_WEIGHT},
    build=_embedding_linear,
    scaled=False,
    max_rows=100_000,
    tried=False,
    library="tokenizers",
    extra="llm",
    reads=Reads.SENTENCE,
    space={"C": Axis(1e-2, 1e3, log=True)},
)
