"""ONNX Runtime: the form in which models are served."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelyard.core.errors import Invalid, first_line
from modelyard.core.ports import Blobs
from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.ports import Runtime, WantedRoute
from modelyard.serving.runtimes.contract import FEATURES, MODEL, CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.measuring import measure, resident_bytes
from modelyard.serving.stopping import StopSignal

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

    from modelyard.serving.runtimes.text import TextFeatures

_LOOPS: Final = (b"\x22\x04Loop", b"\x22\x04Scan")
"""How a node that repeats a part of the graph is written (field 4 of ONNX's NodeProto): as often
as the values say, which no sample tells. Such a graph is never called on the event loop.
"""


class OnnxRuntime:
    """One session. `infer` may be called from several threads at once."""

    def __init__(
        self, session: InferenceSession, signature: Signature, features: TextFeatures | None
    ) -> None:
        # The session's own method checks the names once more, for each call: a tenth of its time.
        self._run = session._sess.run
        self._names = [spec.name for spec in signature.outputs]
        self._features = features
        self.signature: Signature | None = signature
        self.call_seconds = 0.0
        self.row_seconds = 0.0
        self.stackable = False
        self.kind = "onnx"
        self.notes: tuple[str, ...] = ()
        self.memory_bytes = 0
        self.streams = False

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Run the graph. `stop` ends it between two of its nodes.

        Raises:
            Invalid: the graph refuses these values (an index out of range, say).
        """
        if self._features is not None:
            inputs = self._features.apply(inputs)
        options = None if stop is None else stoppable(stop)
        try:
            outputs = self._run(self._names, inputs, options)
        except Exception as error:  # noqa: BLE001 - its errors share no base but Exception
            raise Invalid(f"the model refused the input: {first_line(error)}") from None
        return dict(zip(self._names, outputs, strict=True))

    def stream(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """A graph answers at once: one part."""
        yield self.infer(inputs, stop)

    def unload(self) -> None:
        """Let go of the session."""
        del self._run


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
        graph, features = route.artifact(MODEL), route.artifact(FEATURES)
        if graph is None or route.format != "onnx":
            raise CannotLoad(
                f"version {route.version} of model '{route.model}' has no data-only form"
            )
        return open_model(
            self._blobs.get(graph.digest),
            self._blobs.get(features.digest) if features is not None else None,
            route.signature,
        )


def load(folder: Path, manifest: RuntimeManifest) -> OnnxRuntime:
    """Load a graph from a version's folder, for a replica in a process of its own.

    Raises:
        CannotLoad: no graph that ONNX Runtime takes, or a version without a signature.
    """
    if manifest.signature is None:
        raise CannotLoad("an ONNX version is served by its signature, and this one has none")
    features = manifest.path(folder, FEATURES).read_bytes() if FEATURES in manifest.files else None
    return open_model(manifest.path(folder).read_bytes(), features, manifest.signature)


def open_model(graph: bytes, features: bytes | None, signature: Signature) -> OnnxRuntime:
    """The graph, behind its text features if it has any, measured.

    Raises:
        CannotLoad: not a graph that ONNX Runtime takes.
        Invalid: `features` cannot be read.
    """
    before = resident_bytes()
    text = None
    if features is not None:
        from modelyard.serving.runtimes.text import TextFeatures

        text = TextFeatures.load(features)
    runtime = OnnxRuntime(open_session(graph), signature, text)
    dates = () if text is None else [date.name for date in text.spec.dates]
    measure(runtime, signature, dates=dates)
    if any(node in graph for node in _LOOPS):
        runtime.call_seconds = math.inf
    runtime.memory_bytes = max(0, resident_bytes() - before)
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
        raise CannotLoad(f"ONNX Runtime does not load it: {first_line(error)}") from None


def stoppable(stop: StopSignal) -> RunOptions:
    """Options of one call of a session, which the signal ends between two of its nodes."""
    import onnxruntime

    options = onnxruntime.RunOptions()

    def terminate() -> None:
        options.terminate = True

    stop.on_set(terminate)
    return options
