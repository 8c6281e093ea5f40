"""The mean of word vectors as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.word_vectors import LEAST_WEIGHT, WordVectors


def begins(estimator: Any) -> bool:
    """Whether the estimator is a pipeline with word vectors in front."""
    steps: Sequence[tuple[str, Any]] = getattr(estimator, "steps", ())
    return bool(steps) and isinstance(steps[0][1], WordVectors)


def mean(builder: GraphBuilder, vectors: WordVectors, sequence: str) -> str:
    """Sequences INT64 [n, tokens] to means FP32 [n, size]."""
    table = builder.constant(vectors.table_)
    last = builder.constant(len(vectors.table_) - 1, np.int64)
    known = builder.node("Min", sequence, last)
    axis = builder.constant([1], np.int64)
    found = builder.node("Gather", table, known, axis=0)
    total = builder.node("ReduceSum", found, axis, keepdims=0)
    split = builder.constant([vectors.vector_size, 1], np.int64)
    summed, weight = builder.node_of(2, "Split", total, split, axis=1)
    return builder.node("Div", summed, builder.node("Max", weight, builder.constant(LEAST_WEIGHT)))
