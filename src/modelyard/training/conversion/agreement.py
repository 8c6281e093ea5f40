"""How the answers of two forms of a model compare, in the tensors of their signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from modelyard.core.tensors import Signature, Tensor
from modelyard.registry.parity import Parity
from modelyard.serving.runtimes.answers import PROBABILITIES

TOLERANCE: Final = 1e-4
"""Of a number, relative to its size where it exceeds one."""
AGREEMENT: Final = 0.999
"""Share of rows that must have the same class."""


def compare(
    signature: Signature, native: Mapping[str, Tensor], served: Mapping[str, Tensor]
) -> Parity:
    """Compare output by output.

    Where there are probabilities, rows whose two likeliest classes are closer than the tolerance
    are ties: either label is right.
    """
    ties = _ties(native.get(PROBABILITIES))
    reasons: list[str] = []
    largest: float | None = None
    agreement: float | None = None
    rows = 0
    for spec in signature.outputs:
        one, other = native[spec.name], served[spec.name]
        rows = max(rows, one.shape[0] if one.ndim else 1)
        if one.shape != other.shape:
            reasons.append(f"output '{spec.name}' has shape {other.shape} instead of {one.shape}")
        elif one.dtype.kind in "fc":
            absolute, relative = _differences(one, other)
            largest = max(largest or 0.0, absolute)
            if not relative <= TOLERANCE:
                reasons.append(f"'{spec.name}' differs by up to {relative:.2g} of its size")
        else:
            same = one == other
            if ties is not None and same.shape == ties.shape:
                same = same | ties
            share = float(np.mean(same)) if same.size else 1.0
            agreement = min(agreement if agreement is not None else 1.0, share)
            if share < AGREEMENT:
                reasons.append(f"'{spec.name}' is the same in {share:.2%} of the rows only")
    return Parity(
        agreed=not reasons,
        rows=rows,
        largest_difference=largest,
        tolerance=None if largest is None else TOLERANCE,
        label_agreement=agreement,
        reason="; ".join(reasons),
    )


def _differences(one: Tensor, other: Tensor) -> tuple[float, float]:
    """The largest difference, absolute and relative; NaN equals NaN, and infinity itself."""
    if not one.size:
        return 0.0, 0.0
    native = one.astype(np.float64)
    with np.errstate(invalid="ignore"):
        absolute = np.abs(native - other.astype(np.float64))
    absolute[np.isnan(absolute)] = np.inf
    absolute[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    size = np.where(np.isfinite(native), np.abs(native), 1.0)
    relative = absolute / np.maximum(size, 1.0)
    return float(absolute.max()), float(relative.max())


def _ties(probabilities: Tensor | None) -> Tensor | None:
    if probabilities is None or probabilities.ndim != 2 or probabilities.shape[1] < 2:
        return None
    best = np.sort(probabilities, axis=1)
    return np.asarray(best[:, -1] - best[:, -2] <= 2 * TOLERANCE)
