"""All algorithms by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelyard.core.errors import Invalid
from modelyard.training.spec import AUTO, TaskKind
from modelyard.training.trainers.algorithm import Algorithm, Reads
from modelyard.training.trainers.bayes import NAIVE_BAYES
from modelyard.training.trainers.boosting import LIGHTGBM, XGBOOST
from modelyard.training.trainers.cnn import CNN
from modelyard.training.trainers.embedding_linear import EMBEDDING_LINEAR
from modelyard.training.trainers.linear import (
    ELASTIC_NET,
    LASSO,
    LINEAR,
    LOGISTIC_REGRESSION,
    RIDGE,
)
from modelyard.training.trainers.mlp import MLP
from modelyard.training.trainers.neighbours import NEAREST_NEIGHBOURS
from modelyard.training.trainers.network import NEURAL_NETWORK
from modelyard.training.trainers.seq2seq import SEQ2SEQ
from modelyard.training.trainers.sequence_networks import SEQUENCE_NETWORKS
from modelyard.training.trainers.svm import SVM
from modelyard.training.trainers.trees import DECISION_TREE, GRADIENT_BOOSTING, RANDOM_FOREST
from modelyard.training.trainers.unsupervised import ISOLATION_FOREST, K_MEANS
from modelyard.training.trainers.word2vec_linear import WORD2VEC_LINEAR

ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm
    # Of equals `auto` takes the first: the simpler one, and rather one with probabilities.
    for algorithm in (
        LINEAR,
        LOGISTIC_REGRESSION,
        RIDGE,
        LASSO,
        ELASTIC_NET,
        NAIVE_BAYES,
        NEAREST_NEIGHBOURS,
        SVM,
        DECISION_TREE,
        RANDOM_FOREST,
        GRADIENT_BOOSTING,
        LIGHTGBM,
        XGBOOST,
        MLP,
        NEURAL_NETWORK,
        CNN,
        K_MEANS,
        ISOLATION_FOREST,
        WORD2VEC_LINEAR,
        EMBEDDING_LINEAR,
        *SEQUENCE_NETWORKS,
        SEQ2SEQ,
    )
}


def check_algorithm(name: str) -> None:
    """Raises Invalid unless `name` is `auto` or an algorithm's."""
    if name != AUTO and name not in ALGORITHMS:
        known = ", ".join((AUTO, *ALGORITHMS))
        raise Invalid(f"there is no algorithm '{name[:80]}'; there are: {known}")


def candidates(name: str, task: TaskKind, *, images: bool = False) -> tuple[Algorithm, ...]:
    """The algorithm of this name, or with `auto` all that are tried for the task.

    `images` says whether it is pictures that are learned from.

    Raises:
        Invalid: an unknown name, or an algorithm that cannot do the task, does not read such data
            or is not installed.
    """
    check_algorithm(name)
    able = tuple(a for a in ALGORITHMS.values() if task in a.tasks)
    if name == AUTO:
        tried = tuple(a for a in able if a.available and _is_tried(a, images=images))
        if not tried:
            names = ", ".join(a.name for a in able)
            raise Invalid(f"'auto' tries nothing for {task}: name one of {names}")
        return tried
    algorithm = ALGORITHMS[name]
    if algorithm not in able:
        names = ", ".join(a.name for a in able)
        raise Invalid(f"algorithm '{name}' does not do {task}; these do: {names}")
    if algorithm.reads is Reads.IMAGE and not images:
        raise Invalid(f"algorithm '{name}' learns from pictures, and there are none")
    if not algorithm.available:
        raise Invalid(
            f"algorithm '{name}' needs a library that this server does not have: "
            f"pip install 'modelyard[{algorithm.extra or algorithm.library}]'"
        )
    return (algorithm,)


def _is_tried(algorithm: Algorithm, *, images: bool) -> bool:
    if images:
        return algorithm.suits_images
    return algorithm.tried and algorithm.reads is Reads.TABLE
