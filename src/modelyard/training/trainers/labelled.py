"""A classifier for libraries that know classes by number only."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from modelyard.training.rows import Array


class LabelledClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`classifier` on the places of the classes, which are sorted, instead of the classes."""

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier

    def fit(self, matrix: Array, target: Array) -> LabelledClassifier:
        """Learn the classes, then the classifier; `matrix` is [n, width], `target` [n]."""
        self.classes_, places = np.unique(target, return_inverse=True)
        self.classifier.fit(matrix, places)
        return self

    def predict(self, matrix: Array) -> Array:
        """The class of each row: [n]."""
        return np.asarray(self.classes_[np.asarray(self.classifier.predict(matrix), np.intp)])

    def predict_proba(self, matrix: Array) -> Array:
        """The probability of each class: [n, number of classes]."""
        return np.asarray(self.classifier.predict_proba(matrix))
