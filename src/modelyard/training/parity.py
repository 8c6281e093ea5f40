"""Parity: the served form against the pipeline that it was made from, on real rows.

The served form runs exactly as the gateway runs it. Rows whose two best classes are closer than
the tolerance are ties: either label is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelyard.core.tensors import Signature, Tensor
from modelyard.registry.parity import Parity
from modelyard.training.problem import Problem, Role
from modelyard.training.served_graph import ServedGraph
from modelyard.training.spec import TaskKind

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS: Final = 1000
EDGE_COLUMNS: Final = 20
TOLERANCE: Final = 1e-4
AGREEMENT: Final = 0.999


def compare(graph: ServedGraph, pipeline: Any, problem: Problem, held_out: pl.DataFrame) -> Parity:
    """Run both forms on held-out rows, and on some with values missing and categories unknown."""
    signature = graph.signature
    rows = _with_edges(held_out.head(MAX_ROWS), problem)
    if problem.task is TaskKind.TAGGING:
        # Each batch is as wide as its longest text.
        served = list(graph.parts(rows, problem))
        return _compare_tags(pipeline.predict(rows), served, signature)
    outputs = list(graph.answers(rows, problem).values())
    if problem.task is TaskKind.TRANSLATION:
        same = np.asarray(pipeline.predict(rows) == outputs[0])
        return verdict(float(same.mean()), None, len(same))
    if problem.task is TaskKind.REGRESSION:
        return _compare_numbers(pipeline.predict(rows), outputs[0])
    if problem.task is TaskKind.CLUSTERING:
        distances = pipeline.transform(rows)
        ties = _close(np.sort(distances, axis=1))
        return _compare_labels(pipeline.predict(rows), distances, outputs, ties)
    if problem.task is TaskKind.ANOMALY_DETECTION:
        scores = pipeline.decision_function(rows)
        ties = np.abs(scores) <= TOLERANCE
        return _compare_labels(pipeline.predict(rows), scores, outputs, ties)
    return _compare_classes(pipeline, rows, outputs, signature)


def _with_edges(rows: pl.DataFrame, problem: Problem) -> pl.DataFrame:
    import polars as pl

    def absent(name: str) -> Any:
        return float("nan") if problem.features[name] is Role.NUMBER else ""

    first = rows.row(0, named=True)
    edges = [{name: absent(name) for name in problem.features}]
    edges += [{**first, name: absent(name)} for name in list(problem.features)[:EDGE_COLUMNS]]
    strange = {
        name: "never seen 4711 ünknown"
        for name, role in problem.features.items()
        if role in (Role.CATEGORY, Role.TEXT)
    }
    if strange:
        edges.append({**first, **strange})
    return pl.concat([rows, pl.DataFrame(edges, schema=rows.schema)])


def _compare_tags(native: Tensor, served: list[dict[str, Tensor]], signature: Signature) -> Parity:
    """Text by text: what stands behind a text's last token is empty."""
    (spec,) = signature.outputs
    said = [" ".join(filter(None, row)) for part in served for row in part[spec.name].tolist()]
    same = np.array([one == other for one, other in zip(native, said, strict=True)])
    return verdict(float(same.mean()), None, len(same))


def _compare_numbers(native: Tensor, served: Tensor) -> Parity:
    """Differences are relative where the predictions exceed one."""
    absolute = np.abs(native - served)
    relative = absolute / np.maximum(np.abs(native), 1.0)
    largest = float(relative.max())
    agreed = bool(np.isfinite(largest)) and largest <= TOLERANCE
    return Parity(
        agreed=agreed,
        rows=len(native),
        largest_difference=float(absolute.max()),
        tolerance=TOLERANCE,
        reason="" if agreed else f"predictions differ by up to {largest:.2g} of their size",
    )


def _close(distances: Tensor) -> Tensor:
    """Rows whose two nearest clusters are about equally near."""
    if distances.shape[1] < 2:
        return np.zeros(len(distances), bool)
    return np.asarray(distances[:, 1] - distances[:, 0] <= TOLERANCE * distances[:, 1])


def _compare_labels(labels: Tensor, numbers: Tensor, outputs: list[Tensor], ties: Tensor) -> Parity:
    """Labels that follow from numbers: both have to agree, and labels may differ on ties."""
    scale = np.maximum(np.abs(numbers), 1.0)
    largest = float((np.abs(numbers - outputs[1]) / scale).max())
    agreement = float(((labels == outputs[0]) | ties).mean())
    return verdict(agreement, largest, len(labels))


def _compare_classes(
    pipeline: Any, rows: pl.DataFrame, outputs: list[Tensor], signature: Signature
) -> Parity:
    same = np.asarray(pipeline.predict(rows) == outputs[0])
    if len(signature.outputs) == 1:
        return verdict(float(same.mean()), None, len(same))
    native = pipeline.predict_proba(rows)
    largest = float(np.abs(native - outputs[1]).max())
    best = np.sort(native, axis=1)
    ties = best[:, -1] - best[:, -2] <= 2 * TOLERANCE
    return verdict(float((same | ties).mean()), largest, len(same))


def verdict(agreement: float, largest: float | None, rows: int) -> Parity:
    """Whether labels and the numbers behind them are the same in both forms; None: no numbers."""
    reasons = []
    if agreement < AGREEMENT:
        reasons.append(f"the label is the same in {agreement:.2%} of the rows only")
    if largest is not None and not largest <= TOLERANCE:
        reasons.append(f"the numbers behind it differ by up to {largest:.2g}")
    return Parity(
        agreed=not reasons,
        rows=rows,
        largest_difference=largest,
        tolerance=None if largest is None else TOLERANCE,
        label_agreement=agreement,
        reason="; ".join(reasons),
    )
