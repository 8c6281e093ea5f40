"""ONNX Runtime: the form in which models are served."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.ports import Blobs
from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.ports import Runtime, WantedRoute
from modelyard.serving.stopping import StopSignal

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

    from modelyard.serving.runtimes.text import TextFeatures

_TRIALS: Final = 5
_SAMPLE_ROWS: Final = 64
_SAMPLE_TEXT: Final = "some words of the length that people write " * 3
_ROWS: Final = ((1, 3), (1, 0))
"""What the rows hold by which it is found out whether a graph mixes its rows."""

_LOOPS: Final = (b"\x22\x04Loop", b"\x22\x04Scan")
"""How a node that repeats a part of the graph is written (field 4 of ONNX's NodeProto): as often
as the values say, which no sample tells. Such a graph is never called on the event loop.
"""

_SLOW: Final = 0.02
"""Seconds of a call beyond which nothing more is measured, lest loading take minutes."""


class CannotLoad(ModelyardError):
    """The version's files cannot be made into a session."""

    code = "cannot_load"


class OnnxRuntime:
    """One session. `infer` may be called from several threads at once."""

    def __init__(
        self, session: InferenceSession, signature: Signature, features: TextFeatures | None
    ) -> None:
        self._run = session.run
        self._names = [spec.name for spec in signature.outputs]
        self._features = features
        self.call_seconds = 0.0
        self.row_seconds = 0.0
        self.stackable = False

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Run the graph. `stop` ends it between two of its nodes.

        Raises:
            Invalid: the graph refuses these values (an index out of range, say).
        """
        if self._features is not None:
            inputs = self._features.apply(inputs)
        options = None if stop is None else _stoppable(stop)
        try:
            outputs = self._run(self._names, inputs, options)
        except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
            raise Invalid(f"the model refused the input: {_first_line(error)}") from None
        return dict(zip(self._names, outputs, strict=True))


class OnnxLoader:
    """Loads versions from the blobs."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def load(self, route: WantedRoute) -> Runtime:
        """Open a session on the version's graph and measure what calls cost.

        Raises:
            NotFound: a blob is missing.
            CannotLoad: the version has no graph, or none that ONNX Runtime takes.
        """
        if "onnx" not in route.artifacts:
            raise CannotLoad(
                f"version {route.version} of model '{route.model}' has no data-only form"
            )
        features = None
        if "features" in route.artifacts:
            from modelyard.serving.runtimes.text import TextFeatures

            features = TextFeatures.load(self._blobs.get(route.artifacts["features"]))
        graph = self._blobs.get(route.artifacts["onnx"])
        session = open_session(graph)
        runtime = OnnxRuntime(session, route.signature, features)
        _measure(runtime, route.signature)
        if any(node in graph for node in _LOOPS):
            runtime.call_seconds = math.inf
        runtime.stackable = _answers_row_by_row(runtime, route.signature)
        return runtime


def open_session(graph: bytes) -> InferenceSession:
    """A session that uses one thread: requests, not operators, are what runs in parallel.

    Raises:
        CannotLoad: not a graph that ONNX Runtime takes.
    """
    # Release 1.31 writes a device id and can send telemetry; it asks this before it does.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
        raise CannotLoad(f"ONNX Runtime does not load it: {_first_line(error)}") from None


def _measure(runtime: OnnxRuntime, signature: Signature) -> None:
    """Set what calls cost: by two points of a line, or by one where a call is slow anyway."""
    one = _quickest(runtime, signature, 1)
    many = one * _SAMPLE_ROWS if one > _SLOW else _quickest(runtime, signature, _SAMPLE_ROWS)
    # A slope that hides in the noise is not free: a row is then taken for a 64th of a call.
    runtime.row_seconds = max((many - one) / (_SAMPLE_ROWS - 1), one / _SAMPLE_ROWS)
    runtime.call_seconds = max(one - runtime.row_seconds, 0.0)


def _stoppable(stop: StopSignal) -> RunOptions:
    import onnxruntime

    options = onnxruntime.RunOptions()

    def terminate() -> None:
        options.terminate = True

    stop.on_set(terminate)
    return options


def _answers_row_by_row(runtime: OnnxRuntime, signature: Signature) -> bool:
    """Whether two rows in one call are answered as they are one by one.

    A graph may well mix its rows (a mean over the batch, say): such a one is never batched.
    """
    if not all(spec.shape[:1] == (-1,) for spec in (*signature.inputs, *signature.outputs)):
        return False
    # Two rows unlike each other, and neither of zeros, which a sum over the batch would hide. As
    # indices the large numbers may be out of range: then smaller ones must do.
    for one, other in _ROWS:
        rows = [{s.name: _sample(s, value) for s in signature.inputs} for value in (one, other)]
        try:
            apart = [runtime.infer(row) for row in rows]
            together = runtime.infer({n: np.concatenate([r[n] for r in rows]) for n in rows[0]})
        except Invalid:
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


def _sample(spec: TensorSpec, value: int) -> Tensor:
    """A row of values from 0 to `value`."""
    row = _blank(spec, 1)
    if spec.datatype is Datatype.BYTES:
        row[...] = "some words " * value
    else:
        row[...] = np.linspace(0, value, row.size).reshape(row.shape).astype(row.dtype)
        row[..., :1] = value
    return row


def _quickest(runtime: OnnxRuntime, signature: Signature, rows: int) -> float:
    """Seconds of the quickest of a few calls on rows that say nothing; `_SLOW` if refused."""
    inputs = {spec.name: _blank(spec, rows) for spec in signature.inputs}
    quickest = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        try:
            runtime.infer(inputs)
        except Invalid:
            return _SLOW
        quickest = min(quickest, time.perf_counter() - start)
        if quickest > _SLOW:
            break
    return quickest


def _blank(spec: TensorSpec, rows: int) -> Tensor:
    first = tuple(rows if size == -1 else size for size in spec.shape[:1])
    shape = first + tuple(max(size, 1) for size in spec.shape[1:])
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, _SAMPLE_TEXT, dtype=np.object_)
    return np.zeros(shape, NUMPY[spec.datatype])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
