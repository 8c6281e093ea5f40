"""scikit-learn's histogram boosting as ONNX: skl2onnx writes it wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelyard.training.conversion.boosted import check_size
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.trees import LESS_OR_EQUAL, Ensemble, Node, round_down

_REGRESSION: Final[Mapping[str, str]] = {
    "squared_error": "identity",
    "absolute_error": "identity",
    "quantile": "identity",
    "gamma": "exp",
    "poisson": "exp",
}


def ensemble_of(estimator: Any) -> Ensemble:
    """The trees of a HistGradientBoostingClassifier or Regressor. Raises NotConvertible."""
    rounds = estimator._predictors
    columns = estimator.n_trees_per_iteration_
    grown = [predictor.nodes for one in rounds for predictor in one]
    check_size(sum(len(nodes) for nodes in grown))
    trees = [_nodes(nodes) for nodes in grown]
    base = [float(one) for one in estimator._baseline_prediction.ravel()]
    targets = [place % columns for place in range(len(trees))]
    return Ensemble(trees, targets, base, LESS_OR_EQUAL, _link(estimator, columns))


def _link(estimator: Any, columns: int) -> str:
    if hasattr(estimator, "classes_"):
        return "sigmoid" if columns == 1 else "softmax"
    if estimator.loss not in _REGRESSION:
        raise NotConvertible(f"the loss '{estimator.loss}' is not converted")
    return _REGRESSION[estimator.loss]


def _nodes(nodes: Any) -> list[Node]:
    """`nodes` is a structured array with a row for each."""
    if nodes["is_categorical"].any():
        raise NotConvertible("trees that split by category are not converted")
    rows = zip(
        nodes["feature_idx"].tolist(),
        round_down(nodes["num_threshold"]),
        nodes["left"].tolist(),
        nodes["right"].tolist(),
        nodes["missing_go_to_left"].astype(bool).tolist(),
        nodes["is_leaf"].tolist(),
        nodes["value"].tolist(),
        strict=True,
    )
    return [
        Node(values=(value,)) if leaf else Node(feature, threshold, yes, no, missing_yes)
        for feature, threshold, yes, no, missing_yes, leaf, value in rows
    ]
