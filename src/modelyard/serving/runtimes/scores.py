"""What a network says of each class, as numbers from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.bundle import Network
from modelyard.serving.runtimes.contract import CannotLoad

PROBLEM: Final = "problem_type"
REGRESSION: Final = "regression"
"""A number of no class; only of texts."""
_LOGITS: Final = "logits"

Scores = Callable[[Tensor], Tensor]
"""From the network's output [rows, classes] to scores of the same shape, FP32."""


def output_of(network: Network, kind: str) -> str:
    """The name of the output with a number for each class. Raises CannotLoad if there is none."""
    outputs = {name: len(each.shape) for name, each in network.outputs.items()}
    if outputs.get(_LOGITS) == 2:
        return _LOGITS
    for name, dimensions in outputs.items():
        if dimensions == 2:
            return name
    shapes = ", ".join(f"'{name}' of {count} dimensions" for name, count in outputs.items())
    raise CannotLoad(
        f"{kind}'s network gives a number for each class, [batch, classes], but this one gives "
        f"{shapes[:300]}"
    )


def scores_of(config: Mapping[str, Any], trial: Tensor) -> Scores:
    """How the network's outputs become scores, by `problem_type`; `trial` are some of them.

    The classes of a multi-label network are scored each by itself, all others share a sum of one;
    a network of a single class is a yes or no. Rows that share a sum of one already stay so.

    Raises:
        CannotLoad: the network is no classifier.
    """
    problem = config.get(PROBLEM)
    if problem not in (None, "single_label_classification", "multi_label_classification"):
        raise CannotLoad(
            f"{PROBLEM} is {problem!r:.60}; a classifier's is single_label_classification or "
            "multi_label_classification"
        )
    if problem == "multi_label_classification" or trial.shape[1] == 1:
        return _sigmoid
    sums = trial.astype(np.float64).sum(axis=1)
    done = bool((trial >= 0).all() and np.allclose(sums, 1.0, rtol=0, atol=1e-3))
    return _as_it_is if done else _softmax


def _softmax(logits: Tensor) -> Tensor:
    wide = logits.astype(np.float32)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    scores: Tensor = powers / powers.sum(axis=1, keepdims=True)
    return scores


def _sigmoid(logits: Tensor) -> Tensor:
    # By tanh, which does not overflow.
    scores: Tensor = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits.astype(np.float32)))
    return scores


def _as_it_is(scores: Tensor) -> Tensor:
    return scores.astype(np.float32)
