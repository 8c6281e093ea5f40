"""ONNX Runtime: the form in which models are served."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.ports import Blobs
from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor
from modelyard.serving.ports import Runtime, WantedRoute

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from modelyard.serving.runtimes.text import TextFeatures

_TRIALS: Final = 5


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
        self.cost = 0.0

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph.

        Raises:
            Invalid: the graph refuses these values (an index out of range, say).
        """
        if self._features is not None:
            inputs = self._features.apply(inputs)
        try:
            outputs = self._run(self._names, inputs)
        except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
            raise Invalid(f"the model refused the input: {_first_line(error)}") from None
        return dict(zip(self._names, outputs, strict=True))


class OnnxLoader:
    """Loads versions from the blobs."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def load(self, route: WantedRoute) -> Runtime:
        """Open a session on the version's graph and measure what a call costs.

        Raises:
            NotFound: a blob is missing.
            CannotLoad: ONNX Runtime does not take the graph.
        """
        features = None
        if "features" in route.artifacts:
            from modelyard.serving.runtimes.text import TextFeatures

            features = TextFeatures.load(self._blobs.get(route.artifacts["features"]))
        session = open_session(self._blobs.get(route.artifacts["onnx"]))
        runtime = OnnxRuntime(session, route.signature, features)
        runtime.cost = _measure(runtime, route.signature)
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


def _measure(runtime: OnnxRuntime, signature: Signature) -> float:
    """Seconds of the quickest of a few calls on one row of zeros; 0 if zeros are refused."""
    inputs = {
        spec.name: _zeros(spec.datatype, tuple(max(size, 1) for size in spec.shape))
        for spec in signature.inputs
    }
    quickest = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        try:
            runtime.infer(inputs)
        except Invalid:
            return 0.0
        quickest = min(quickest, time.perf_counter() - start)
    return quickest


def _zeros(datatype: Datatype, shape: tuple[int, ...]) -> Tensor:
    if datatype is Datatype.BYTES:
        return np.full(shape, "", dtype=np.object_)
    return np.zeros(shape, NUMPY[datatype])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
