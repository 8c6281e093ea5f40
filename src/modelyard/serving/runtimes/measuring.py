"""What a call of a loaded model costs, and whether its rows may share a call: found by trying."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import numpy as np

from modelyard.core.errors import Invalid, ModelFailed
from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.ports import Runtime

_TRIALS: Final = 5
_SAMPLE_ROWS: Final = 64
_SAMPLE_TEXT: Final = "some words of the length that people write " * 3
_SAMPLE_TIME: Final = "2026-11-22T08:30:00"
_ROWS: Final = ((3, -2), (1, 3), (1, 0))
"""What the rows hold by which it is found out whether a model mixes its rows."""

_SLOW: Final = 0.02
"""Seconds of a call beyond which nothing more is measured, lest loading take minutes."""


Example = Callable[[int], bytes]
"""An element of a binary input that the model takes; another for each number."""


def measure(
    runtime: Runtime,
    signature: Signature,
    example: Example | None = None,
    dates: Collection[str] = (),
) -> None:
    """Set what calls of the model cost, and whether rows of several requests may share one.

    A model with binary inputs brings an `example` of what it takes. `dates` are the inputs that
    take nothing but dates.
    """
    samples = _Samples(signature, example, dates)
    _measure_cost(runtime, samples)
    runtime.stackable = _answers_row_by_row(runtime, samples)


def resident_bytes() -> int:
    """Memory that this process has in use now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize()


class _Samples:
    """Inputs that a model of this signature may be tried on."""

    def __init__(
        self, signature: Signature, example: Example | None, dates: Collection[str]
    ) -> None:
        self.signature = signature
        self._inputs = [spec for spec in signature.inputs if not spec.optional]
        self._example = example or _no_example
        self._dates = dates

    def blank(self, rows: int) -> dict[str, Tensor]:
        """Rows that say nothing."""
        return {spec.name: self._blank(spec, rows) for spec in self._inputs}

    def row(self, value: int) -> dict[str, Tensor]:
        """A row of values from 0 to `value`."""
        return {spec.name: self._row(spec, value) for spec in self._inputs}

    def _row(self, spec: TensorSpec, value: int) -> Tensor:
        row = self._blank(spec, 1)
        if spec.binary:
            row[...] = self._example(value)
        elif spec.name in self._dates:
            row[...] = f"{2001 + value}-03-01"
        elif spec.datatype is Datatype.BYTES:
            row[...] = "some words " * value
        else:
            value = abs(value) if row.dtype.kind in "bu" else value
            row[...] = np.linspace(0, value, row.size).reshape(row.shape).astype(row.dtype)
            row[..., :1] = value
        return row

    def _blank(self, spec: TensorSpec, rows: int) -> Tensor:
        first = tuple(rows if size == -1 else size for size in spec.shape[:1])
        shape = first + tuple(max(size, 1) for size in spec.shape[1:])
        if spec.datatype is Datatype.BYTES:
            same = self._example(0) if spec.binary else _SAMPLE_TEXT
            same = _SAMPLE_TIME if spec.name in self._dates else same
            return np.full(shape, same, dtype=np.object_)
        return np.zeros(shape, NUMPY[spec.datatype])


def _no_example(_: int) -> bytes:
    return b""


def _measure_cost(runtime: Runtime, samples: _Samples) -> None:
    """Set what calls cost: by two points of a line, or by one where a call is slow anyway."""
    one = _quickest(runtime, samples, 1)
    many = one * _SAMPLE_ROWS if one > _SLOW else _quickest(runtime, samples, _SAMPLE_ROWS)
    # A slope that hides in the noise is not free: a row is then taken for a 64th of a call.
    runtime.row_seconds = max((many - one) / (_SAMPLE_ROWS - 1), one / _SAMPLE_ROWS)
    runtime.call_seconds = max(one - runtime.row_seconds, 0.0)


def _answers_row_by_row(runtime: Runtime, samples: _Samples) -> bool:
    """Whether two rows in one call are answered as they are one by one.

    A model may well mix its rows (a mean over the batch, say): such a one is never batched.
    """
    signature = samples.signature
    if not all(spec.shape[:1] == (-1,) for spec in (*signature.inputs, *signature.outputs)):
        return False
    # Two rows unlike each other, of either sign, for a model may decide by that, and neither of
    # zeros, which a sum over the batch would hide. As indices they may be out of range: then others
    # must do.
    for one, other in _ROWS:
        rows = [samples.row(value) for value in (one, other)]
        try:
            apart = [runtime.infer(row) for row in rows]
            together = runtime.infer({n: np.concatenate([r[n] for r in rows]) for n in rows[0]})
        except (Invalid, ModelFailed):
            continue
        return all(
            tensor.shape[:1] == (2,)
            and all(_alike(tensor[at : at + 1], alone[name]) for at, alone in enumerate(apart))
            for name, tensor in together.items()
        )
    return False


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "fc":
        return bool(np.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True))
    return bool(np.array_equal(one, other))


def _quickest(runtime: Runtime, samples: _Samples, rows: int) -> float:
    """Seconds of the quickest of a few calls on rows that say nothing; `_SLOW` if refused."""
    inputs = samples.blank(rows)
    quickest = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        try:
            runtime.infer(inputs)
        except (Invalid, ModelFailed):
            return _SLOW
        quickest = min(quickest, time.perf_counter() - start)
        if quickest > _SLOW:
            break
    return quickest
