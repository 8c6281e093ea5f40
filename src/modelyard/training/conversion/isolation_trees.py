"""An isolation forest as ONNX: skl2onnx needs half a minute, for a graph of hundreds of nodes.

The score of a row is minus 2 to the power of minus its mean depth over the usual one (Liu, Ting and
Zhou 2008), as scikit-learn computes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.serving.runtimes.answers import LABEL
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.trees import LESS_OR_EQUAL, Ensemble, Node, round_down

KIND = "IsolationForest"
SCORE = "score"


def answers(builder: GraphBuilder, estimator: Any, matrix: str) -> dict[str, str]:
    """The nodes of the label, -1 of what stands apart and else 1, and of the score, whose sign is
    the label's.
    """
    ensemble = Ensemble(
        _trees(estimator), [0] * len(estimator.estimators_), [0.0], LESS_OR_EQUAL, ""
    )
    depth = ensemble.sums(builder, matrix)
    raised = builder.node("Pow", builder.constant(2.0), builder.node("Neg", depth))
    score = builder.node("Sub", builder.constant(-estimator.offset_), raised)
    apart = builder.node("Less", score, builder.constant(0.0))
    label = builder.node(
        "Where", apart, builder.constant(-1, np.int64), builder.constant(1, np.int64)
    )
    return {LABEL: label, SCORE: score}


def _trees(estimator: Any) -> list[list[Node]]:
    from sklearn.ensemble._iforest import _average_path_length

    usual = float(_average_path_length([estimator._max_samples])[0])
    share = 1.0 / (len(estimator.estimators_) * usual)
    parts = zip(
        estimator.estimators_,
        estimator.estimators_features_,
        estimator._decision_path_lengths,
        estimator._average_path_length_per_tree,
        strict=True,
    )
    return [
        _nodes(one.tree_, columns, (depths + rest - 1.0) * share)
        for one, columns, depths, rest in parts
    ]


def _nodes(tree: Any, columns: Any, depths: Any) -> list[Node]:
    rows = zip(
        # Of a leaf the feature is a negative number, and nobody asks for it.
        columns[np.maximum(tree.feature, 0)].tolist(),
        round_down(tree.threshold),
        tree.children_left.tolist(),
        tree.children_right.tolist(),
        depths.tolist(),
        strict=True,
    )
    return [
        Node(values=(depth,)) if yes < 0 else Node(feature, threshold, yes, no)
        for feature, threshold, yes, no, depth in rows
    ]
