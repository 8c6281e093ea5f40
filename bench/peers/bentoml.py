"""BentoML: one service with a route for each model; the dear one is batched.

A batchable function answers one array, so the network's route gives the labels alone. BentoML
reads the annotations as types, so they are not postponed here.
"""

from typing import Any

import bentoml
import numpy as np

from bench.peers.session import load


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Models:
    """All graphs in one process."""

    def __init__(self) -> None:
        self._logistic = load("logistic")
        self._forest = load("forest")
        self._network = load("network")
        self._image = load("image")

    @bentoml.api(route="/logistic")
    def logistic(self, x: np.ndarray) -> dict[str, Any]:
        """The regression's outputs."""
        return _listed(self._logistic(x))

    @bentoml.api(route="/forest")
    def forest(self, x: np.ndarray) -> dict[str, Any]:
        """The forest's outputs."""
        return _listed(self._forest(x))

    @bentoml.api(route="/network", batchable=True, max_batch_size=32, max_latency_ms=200)
    def network(self, x: np.ndarray) -> np.ndarray:
        """The network's labels."""
        return self._network(x)["label"]

    @bentoml.api(route="/image")
    def image(self, x: np.ndarray) -> dict[str, Any]:
        """The image model's outputs."""
        return _listed(self._image(x))


def _listed(outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() for name, value in outputs.items()}
