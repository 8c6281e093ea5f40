"""Naive Bayes: each feature by itself, given the class."""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Streaming,
    flag,
    real,
)


def _naive_bayes(fit: Fit) -> Estimator:
    """Normal densities for numbers; weighted counts of words by their complement.

    The second is Rennie et al. (2003), which copes with classes of unlike size.
    """
    from sklearn.naive_bayes import ComplementNB, GaussianNB

    kind = ComplementNB if fit.sparse else GaussianNB
    known = kind().get_params()
    return kind(**{name: value for name, value in fit.parameters.items() if name in known})


NAIVE_BAYES: Final = Algorithm(
    name="naive_bayes",
    tasks=frozenset({TaskKind.CLASSIFICATION}),
    parameters={
        "alpha": real(0, 1e6),
        "fit_prior": flag(),
        "norm": flag(),
        "var_smoothing": real(0, 1),
    },
    build=_naive_bayes,
    streaming=Streaming(_naive_bayes),
    scaled=True,
    max_rows=1_000_000,
    space={"var_smoothing": Axis(1e-12, 1, log=True)},
)
