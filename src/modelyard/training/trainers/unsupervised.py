"""Learning without a target: clusters by k-means, anomalies by an isolation forest."""

from __future__ import annotations

from typing import Final

from modelyard.training.spec import TaskKind
from modelyard.training.trainers.algorithm import (
    Algorithm,
    Axis,
    Estimator,
    Fit,
    Streaming,
    choice,
    real,
    whole,
)


def _k_means(fit: Fit) -> Estimator:
    from sklearn.cluster import KMeans

    settings = {"n_clusters": min(8, fit.rows), "n_init": 10, **fit.parameters}
    return KMeans(random_state=fit.seed, **settings)


def _k_means_in_parts(fit: Fit) -> Estimator:
    """Sculley (2010)."""
    from sklearn.cluster import MiniBatchKMeans

    clusters = fit.parameters.get("n_clusters", min(8, fit.rows))
    return MiniBatchKMeans(clusters, random_state=fit.seed, n_init=3)


def _isolation_forest(fit: Fit) -> Estimator:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(random_state=fit.seed, n_jobs=1, **fit.parameters)


K_MEANS: Final = Algorithm(
    name="k_means",
    tasks=frozenset({TaskKind.CLUSTERING}),
    parameters={
        "n_clusters": whole(1, 1000),
        "n_init": whole(1, 100),
        "max_iter": whole(1, 10_000),
        "tol": real(0, 1),
        "init": choice("k-means++", "random"),
    },
    build=_k_means,
    streaming=Streaming(_k_means_in_parts, 3),
    scaled=True,
    max_rows=500_000,
    space={"n_clusters": Axis(2, 20, whole=True)},
)

ISOLATION_FOREST: Final = Algorithm(
    name="isolation_forest",
    tasks=frozenset({TaskKind.ANOMALY_DETECTION}),
    parameters={
        "n_estimators": whole(1, 1000),
        "max_samples": real(1e-6, 1.0, "auto"),
        "contamination": real(1e-6, 0.5, "auto"),
        "max_features": real(1e-6, 1.0),
    },
    build=_isolation_forest,
    scaled=False,
    max_rows=500_000,
    suits_sparse=False,
)
