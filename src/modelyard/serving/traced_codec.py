"""A codec whose work shows in a trace."""

from __future__ import annotations

import time

from modelyard.core.errors import ModelyardError
from modelyard.core.tensors import Tensor
from modelyard.serving.exchange import Answer, Asked, Codec
from modelyard.serving.snapshot import Route
from modelyard.serving.tracing import Trace


class TracedCodec:
    """Does what `codec` does, and tells `trace` how long it took."""

    def __init__(self, codec: Codec, trace: Trace) -> None:
        self._codec = codec
        self._trace = trace

    @property
    def size(self) -> int:
        """The request's size in bytes."""
        return self._codec.size

    def decode(self, route: Route) -> Asked:
        """Read the request."""
        began = time.monotonic()
        try:
            return self._codec.decode(route)
        finally:
            self._trace.part("decode", began, time.monotonic(), {})

    def encode(self, route: Route, asked: Asked, outputs: dict[str, Tensor]) -> Answer:
        """Write the model's outputs."""
        began = time.monotonic()
        try:
            return self._codec.encode(route, asked, outputs)
        finally:
            self._trace.part("encode", began, time.monotonic(), {})

    def fail(self, error: ModelyardError) -> Answer:
        """Write a failure."""
        return self._codec.fail(error)
