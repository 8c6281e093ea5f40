"""Ensembles: fitted pipelines that answer together.

They vote, which is the mean of what they say (probabilities, not labels); or a head that has
learned how far to trust each of them answers for all (stacking: Wolpert 1992, Breiman 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.training.rows import Array
from modelyard.training.spec import TaskKind

if TYPE_CHECKING:
    import polars as pl

Head = Any
"""A fitted linear model of scikit-learn's: the library ships no types."""


class Ensemble:
    """`members` take the same features; without a `head` they vote."""

    def __init__(self, members: Sequence[Any], head: Head | None) -> None:
        self.members = tuple(members)
        self.head = head


class ClassifierEnsemble(Ensemble):
    """Members that know the same classes, in the same order, and give their probabilities."""

    def __init__(self, members: Sequence[Any], head: Head | None) -> None:
        super().__init__(members, head)
        self.classes_: Array = np.asarray(self.members[0].classes_)

    def predict(self, features: pl.DataFrame) -> Array:
        """The class of each row: [n]."""
        return np.asarray(self.classes_[self.predict_proba(features).argmax(axis=1)])

    def predict_proba(self, features: pl.DataFrame) -> Array:
        """The probability of each class: [n, classes]."""
        said = [np.asarray(member.predict_proba(features)) for member in self.members]
        return combine(said, self.head, TaskKind.CLASSIFICATION)


class RegressorEnsemble(Ensemble):
    """Members that give numbers."""

    def predict(self, features: pl.DataFrame) -> Array:
        """The number of each row: [n]."""
        said = [np.asarray(member.predict(features)).reshape(-1, 1) for member in self.members]
        return combine(said, self.head, TaskKind.REGRESSION)[:, 0]


def ensemble(task: TaskKind, members: Sequence[Any], head: Head | None) -> Ensemble:
    """The ensemble for a task: classification or regression."""
    kind = ClassifierEnsemble if task is TaskKind.CLASSIFICATION else RegressorEnsemble
    return kind(members, head)


def combine(said: Sequence[Array], head: Head | None, task: TaskKind) -> Array:
    """One answer out of several to the same rows: [n, classes], or [n, 1] of numbers."""
    if head is None:
        return np.asarray(np.mean(said, axis=0))
    matrix = np.hstack(said)
    if task is TaskKind.CLASSIFICATION:
        return np.asarray(head.predict_proba(matrix))
    return np.asarray(head.predict(matrix)).reshape(-1, 1)


def learn_head(said: Sequence[Array], target: Array, task: TaskKind, seed: int) -> Head:
    """Learn from what members said of rows that they had not seen.

    A logistic regression of the probabilities of all members, or a linear one of their numbers
    with weights that are not negative: members say nearly the same, and differences between them
    would be weighed by chance.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression

    if task is TaskKind.CLASSIFICATION:
        head = LogisticRegression(max_iter=1000, random_state=seed)
    else:
        head = LinearRegression(positive=True)
    return head.fit(np.hstack(said), target)
