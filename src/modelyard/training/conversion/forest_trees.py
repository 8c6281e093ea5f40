"""scikit-learn's trees and forests as ONNX, with the way that missing values take in them.

skl2onnx leaves that out, and these estimators answer rows with gaps, trained on gaps or not.
"""

from __future__ import annotations

from typing import Any, Final

from modelyard.training.conversion.boosted import check_size
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.trees import LESS_OR_EQUAL, Ensemble, Node, round_down

KINDS: Final = frozenset(
    {
        "DecisionTreeClassifier",
        "DecisionTreeRegressor",
        "ExtraTreeClassifier",
        "ExtraTreeRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "RandomForestClassifier",
        "RandomForestRegressor",
    }
)


def ensemble_of(estimator: Any) -> Ensemble:
    """The trees of any of the `KINDS`. Raises NotConvertible."""
    if estimator.n_outputs_ > 1:
        raise NotConvertible("trees of several targets are not converted")
    columns = int(getattr(estimator, "n_classes_", 1))
    if hasattr(estimator, "classes_") and columns < 2:
        raise NotConvertible("a classifier of one class is not converted")
    grown = [one.tree_ for one in getattr(estimator, "estimators_", [estimator])]
    check_size(sum(tree.node_count for tree in grown) * columns)
    trees = [_nodes(tree, 1.0 / len(grown)) for tree in grown]
    return Ensemble(trees, [0] * len(trees), [0.0] * columns, LESS_OR_EQUAL, "identity")


def _nodes(tree: Any, share: float) -> list[Node]:
    """A leaf gives its share of the mean, for each class."""
    # Element by element out of arrays, a forest would take as long as it took to grow.
    rows = zip(
        tree.feature.tolist(),
        round_down(tree.threshold),
        tree.children_left.tolist(),
        tree.children_right.tolist(),
        tree.missing_go_to_left.astype(bool).tolist(),
        (tree.value[:, 0] * share).tolist(),
        strict=True,
    )
    return [
        Node(values=tuple(values)) if yes < 0 else Node(feature, threshold, yes, no, missing_yes)
        for feature, threshold, yes, no, missing_yes, values in rows
    ]
