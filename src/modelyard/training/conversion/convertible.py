"""What a converter gives, and how it says that it cannot."""

from __future__ import annotations

import msgspec

from modelyard.core.errors import ModelyardError


class NotConvertible(ModelyardError):
    """The model is served as it is; the message says what stands in the way of a graph."""

    code = "not_convertible"


class Graph(msgspec.Struct, frozen=True):
    """An ONNX model as bytes, and the text features in front of it, if any."""

    data: bytes
    features: bytes | None = None
