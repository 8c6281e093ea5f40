"""A model's served form as the gateway runs it, asked with rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.onnx import OnnxRuntime, open_session
from modelyard.serving.runtimes.text import TextFeatures
from modelyard.training.conversion.preparation import FEATURES
from modelyard.training.problem import Problem, Role

if TYPE_CHECKING:
    import polars as pl

_BATCH: Final = 100


class ServedGraph:
    """A graph, and what is made ready in front of it, if anything.

    Raises:
        CannotLoad: the graph is no good.
    """

    def __init__(
        self, graph: bytes, signature: Signature, features: TextFeatures | None = None
    ) -> None:
        self.signature = signature
        self._runtime = OnnxRuntime(open_session(graph), signature, features)

    def parts(self, rows: pl.DataFrame, problem: Problem) -> Iterator[dict[str, Tensor]]:
        """Its answers, batch by batch, to rows of the problem's features (see `features_of`)."""
        for start in range(0, rows.height, _BATCH):
            some = rows[start : start + _BATCH]
            yield self._runtime.infer(tensors(some, problem, self.signature))

    def answers(self, rows: pl.DataFrame, problem: Problem) -> dict[str, Tensor]:
        """Its answers to all of the rows."""
        parts = list(self.parts(rows, problem))
        names = [spec.name for spec in self.signature.outputs]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}


def tensors(rows: pl.DataFrame, problem: Problem, signature: Signature) -> dict[str, Tensor]:
    """The rows of `features_of` as a caller sends them; a single tensor has the signature's name
    for it, whatever it is called here.
    """
    if problem.numeric:
        named = {FEATURES: np.ascontiguousarray(rows.to_numpy(), dtype=np.float32)}
    else:
        named = {
            name: rows.get_column(name).to_numpy()
            if role is Role.NUMBER
            else np.array(rows.get_column(name).to_list(), dtype=np.object_)
            for name, role in problem.features.items()
        }
    if len(named) == len(signature.inputs) == 1:
        return {signature.inputs[0].name: named.popitem()[1]}
    return named
