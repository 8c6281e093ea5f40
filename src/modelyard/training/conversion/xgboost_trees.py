"""XGBoost's trees as ONNX, read from its documented JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.xgboost_model import last_round, objective_of
from modelyard.training.conversion.boosted import check_size, graph_of
from modelyard.training.conversion.convertible import Graph, NotConvertible
from modelyard.training.conversion.trees import LESS, Ensemble, Node

_LINKS: Final[Mapping[str, str]] = {
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    "binary:logitraw": "identity",
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:quantileerror": "identity",
    "rank:ndcg": "identity",
    "rank:map": "identity",
    "rank:pairwise": "identity",
}


def to_onnx(booster: Any, signature: Signature, _rows: Mapping[str, Tensor]) -> Iterator[Graph]:
    """The booster as a graph. Raises NotConvertible."""
    yield graph_of(ensemble_of(booster), signature)


def ensemble_of(booster: Any) -> Ensemble:
    """The trees that count, and what is made of their sums.

    Raises:
        NotConvertible: a linear model, trees of vectors, categories, or an unknown objective.
    """
    objective = objective_of(booster)
    if objective not in _LINKS:
        raise NotConvertible(f"the objective '{objective}' is not converted")
    learner: dict[str, Any] = msgspec.json.decode(bytes(booster.save_raw("json")))["learner"]
    grown, weights = _gradient_booster(learner["gradient_booster"])
    trees, targets = grown["trees"], [int(one) for one in grown["tree_info"]]
    columns = max(1, *(int(learner["learner_model_param"][n]) for n in ("num_class", "num_target")))
    keep = _kept(booster, grown, columns)
    check_size(sum(len(tree["left_children"]) for tree in trees[:keep]))
    nodes = [_nodes(tree, w) for tree, w in zip(trees[:keep], weights[:keep], strict=True)]
    base = _base(learner["learner_model_param"]["base_score"], _LINKS[objective], columns)
    return Ensemble(nodes, targets[:keep], base, LESS, _LINKS[objective])


def _gradient_booster(booster: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """Trees and the weight of each."""
    if booster["name"] == "dart":
        weights = [float(one) for one in booster["weight_drop"]]
        return booster["gbtree"]["model"], weights
    if booster["name"] != "gbtree":
        raise NotConvertible(f"a booster of the kind '{booster['name']}' has no trees")
    return booster["model"], [1.0] * len(booster["model"]["trees"])


def _kept(booster: Any, grown: dict[str, Any], columns: int) -> int:
    """How many trees count: all, or those of the best rounds."""
    rounds = last_round(booster)
    if not rounds:
        return len(grown["trees"])
    parallel = int(grown["gbtree_model_param"].get("num_parallel_tree", 1))
    return rounds * columns * max(1, parallel)


def _base(text: str, link: str, columns: int) -> list[float]:
    """The base score, which is kept in terms of the answer, in terms of the sums."""
    given = json.loads(text.lower()) if text.startswith("[") else float(text)
    scores: Sequence[float] = given if isinstance(given, list) else [given]
    if len(scores) == 1:
        scores = list(scores) * columns
    if link == "sigmoid":
        return [math.log(one / (1.0 - one)) for one in scores]
    if link == "exp":
        return [math.log(one) for one in scores]
    return [float(one) for one in scores]


def _nodes(tree: dict[str, Any], weight: float) -> list[Node]:
    if int(tree["tree_param"].get("size_leaf_vector", "1")) > 1:
        raise NotConvertible("trees whose leaves hold vectors are not converted")
    if any(tree.get("split_type", ())):
        raise NotConvertible("trees that split by category are not converted")
    rows = zip(
        tree["split_indices"],
        tree["split_conditions"],
        tree["left_children"],
        tree["right_children"],
        tree["default_left"],
        strict=True,
    )
    return [
        Node(values=(condition * weight,))
        if left < 0
        else Node(feature, condition, left, right, bool(default))
        for feature, condition, left, right, default in rows
    ]
