"""Ensembles of decision trees as ONNX, whichever library grew them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.training.conversion.graph import GraphBuilder

ML: Final = "ai.onnx.ml"
LESS: Final = "BRANCH_LT"
LESS_OR_EQUAL: Final = "BRANCH_LEQ"
_LEAF: Final = "LEAF"


class Node(msgspec.Struct, frozen=True, gc=False):
    """A split: values that compare with `threshold` go to the `yes` node, others to the `no` one.

    A missing value goes to `yes` if `missing_yes`. A leaf has no children and gives `values`: one
    for its tree's column, or one for each column from there on.
    """

    feature: int = 0
    threshold: float = 0.0
    yes: int = -1
    no: int = -1
    missing_yes: bool = False
    values: tuple[float, ...] = ()

    @property
    def leaf(self) -> bool:
        """Whether the tree ends here."""
        return self.yes < 0


class Ensemble(msgspec.Struct, frozen=True):
    """Trees, the first node of each being its root.

    Row by row, the leaves of tree i are added up from the column `targets[i]` on, each column
    starting at its `base`. `mode` is how values are compared: `LESS` or `LESS_OR_EQUAL` than the
    threshold. `link` makes what the model answers out of the sums.
    """

    trees: Sequence[Sequence[Node]]
    targets: Sequence[int]
    base: Sequence[float]
    mode: str
    link: str

    def sums(self, builder: GraphBuilder, source: str) -> str:
        """The node that adds up the leaves: [n, number of columns]."""
        nodes = [node for tree in self.trees for node in tree]
        trees = [place for place, tree in enumerate(self.trees) for _ in tree]
        numbers = [number for tree in self.trees for number in range(len(tree))]
        leaves = [
            (tree, number, column, weight)
            for tree, number, node in zip(trees, numbers, nodes, strict=True)
            for column, weight in enumerate(node.values, self.targets[tree])
        ]
        return builder.node(
            "TreeEnsembleRegressor",
            source,
            domain=ML,
            n_targets=len(self.base),
            base_values=[float(one) for one in self.base],
            nodes_treeids=trees,
            nodes_nodeids=numbers,
            nodes_featureids=[node.feature for node in nodes],
            nodes_modes=[_LEAF if node.leaf else self.mode for node in nodes],
            nodes_values=[node.threshold for node in nodes],
            nodes_truenodeids=[0 if node.leaf else node.yes for node in nodes],
            nodes_falsenodeids=[0 if node.leaf else node.no for node in nodes],
            nodes_missing_value_tracks_true=[int(node.missing_yes) for node in nodes],
            nodes_hitrates=[1.0] * len(nodes),
            target_treeids=[tree for tree, _, _, _ in leaves],
            target_nodeids=[number for _, number, _, _ in leaves],
            target_ids=[column for _, _, column, _ in leaves],
            target_weights=[weight for _, _, _, weight in leaves],
        )


def _sigmoid(builder: GraphBuilder, sums: str) -> str:
    return builder.node("Sigmoid", sums)


def _softmax(builder: GraphBuilder, sums: str) -> str:
    return builder.node("Softmax", sums, axis=1)


def _exponential(builder: GraphBuilder, sums: str) -> str:
    return builder.node("Exp", sums)


def _square(builder: GraphBuilder, sums: str) -> str:
    return builder.node("Mul", sums, builder.node("Abs", sums))


def _softplus(builder: GraphBuilder, sums: str) -> str:
    return builder.node("Softplus", sums)


def _identity(_: GraphBuilder, sums: str) -> str:
    return sums


LINKS: Final[Mapping[str, Callable[[GraphBuilder, str], str]]] = {
    "identity": _identity,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "exp": _exponential,
    "signed square": _square,
    "softplus": _softplus,
}
"""What may be made out of the sums: a node, added to the graph."""


def two_columns(builder: GraphBuilder, positive: str) -> str:
    """Probabilities of both classes [n, 2] from those of the second [n, 1]."""
    negative = builder.node("Sub", builder.constant([1.0]), positive)
    return builder.node("Concat", negative, positive, axis=1)


def likeliest(builder: GraphBuilder, probabilities: str) -> str:
    """The place of the largest in each row: [n], INT64."""
    return builder.node("ArgMax", probabilities, axis=1, keepdims=0)


def round_down(thresholds: Any) -> list[float]:
    """The largest FP32 that is no larger than each: for FP32 values, `<=` answers as before."""
    wide = np.asarray(thresholds, np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    below = np.nextafter(narrow, np.float32(-np.inf))
    found: list[float] = np.where(narrow > wide, below, narrow).tolist()
    return found
