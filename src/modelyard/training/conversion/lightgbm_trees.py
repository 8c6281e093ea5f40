"""LightGBM's trees as ONNX, read from the text of its model files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.lightgbm_model import header, objective_of
from modelyard.training.conversion.boosted import check_size, graph_of
from modelyard.training.conversion.convertible import Graph, NotConvertible
from modelyard.training.conversion.trees import LESS_OR_EQUAL, Ensemble, Node, round_down

_LINKS: Final[Mapping[str, str]] = {
    "binary": "sigmoid",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "softplus",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "lambdarank": "identity",
    "rank_xendcg": "identity",
    "": "identity",
}
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_SHIFT: Final = 2
_ZERO, _NAN = 1, 2
"""What counts as missing at a split: nothing (0; NaN is read as 0), zeros and NaN, or NaN."""


def to_onnx(booster: Any, signature: Signature, _rows: Mapping[str, Tensor]) -> Iterator[Graph]:
    """The booster as a graph. Raises NotConvertible."""
    yield graph_of(ensemble_of(booster), signature)


def ensemble_of(booster: Any) -> Ensemble:
    """The trees, and what is made of their sums.

    Raises:
        NotConvertible: linear leaves, categories, a splitting of zeros that ONNX has not, or an
            unknown objective.
    """
    text = booster.model_to_string()
    name, _, parameters = objective_of(text).partition(" ")
    if name not in _LINKS:
        raise NotConvertible(f"the objective '{name}' is not converted")
    head = header(text)
    columns = int(head.get("num_tree_per_iteration", "1"))
    blocks = [_fields(block) for block in text.split("\nTree=")[1:]]
    check_size(sum(int(block["num_leaves"]) * 2 for block in blocks))
    scale = _scale(parameters)
    if "average_output" in text.partition("\nTree=")[0].splitlines():
        scale /= max(1, len(blocks) // columns)
    trees = [_nodes(block, scale) for block in blocks]
    targets = [place % columns for place in range(len(trees))]
    link = "signed square" if "sqrt" in parameters.split() else _LINKS[name]
    return Ensemble(trees, targets, [0.0] * columns, LESS_OR_EQUAL, link)


def _scale(parameters: str) -> float:
    """Sums are multiplied by this before a sigmoid."""
    for one in parameters.split():
        key, _, value = one.partition(":")
        if key == "sigmoid":
            return float(value)
    return 1.0


def _fields(block: str) -> dict[str, str]:
    lines = block.partition("\nend of trees")[0].splitlines()[1:]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _nodes(block: dict[str, str], scale: float) -> list[Node]:
    """Splits first, as LightGBM numbers them, then leaves; the root is the first node."""
    if block.get("is_linear", "0") != "0":
        raise NotConvertible("trees with linear leaves are not converted")
    leaves = [Node(values=(float(one) * scale,)) for one in block["leaf_value"].split()]
    if int(block["num_leaves"]) == 1:
        return leaves[:1]
    rows = list(
        zip(
            map(int, block["split_feature"].split()),
            map(float, block["threshold"].split()),
            round_down(block["threshold"].split()),
            map(int, block["left_child"].split()),
            map(int, block["right_child"].split()),
            map(int, block["decision_type"].split()),
            strict=True,
        )
    )
    splits = [_split(*row, count=len(rows)) for row in rows]
    return [*splits, *leaves]


def _split(
    feature: int,
    threshold: float,
    narrow: float,
    left: int,
    right: int,
    decision: int,
    *,
    count: int,
) -> Node:
    """`narrow` is the threshold as FP32."""
    if decision & _CATEGORICAL:
        raise NotConvertible("trees that split by category are not converted")
    missing = decision >> _MISSING_SHIFT & 3
    default_left = bool(decision & _DEFAULT_LEFT)
    zero_left = threshold >= 0.0
    if missing == _ZERO and default_left != zero_left:
        raise NotConvertible("trees that send zeros elsewhere than numbers like it")
    return Node(
        feature,
        narrow,
        _place(left, count),
        _place(right, count),
        default_left if missing == _NAN else zero_left,
    )


def _place(child: int, splits: int) -> int:
    """Leaves are numbered by the complement."""
    return child if child >= 0 else splits + ~child
