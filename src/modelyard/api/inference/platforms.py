"""What Triton's clients call the library that runs a model, by the format of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_BACKENDS: Final[Mapping[str, str]] = {
    "onnx": "onnxruntime",
    "pickle": "sklearn",
    "joblib": "sklearn",
    "skops": "sklearn",
    "torch_export": "pytorch",
    "torchscript": "pytorch",
    "keras_h5": "keras",
    "gguf": "openvino",
    "embedder": "onnxruntime",
    "text_classifier": "onnxruntime",
    "image_classifier": "onnxruntime",
}
"""Where it is not the format's own name."""


def backend_of(format_: str) -> str:
    """The library."""
    return _BACKENDS.get(format_, format_)


def platform_of(format_: str) -> str:
    """The library and what it is given, such as `onnxruntime_onnx`."""
    backend = backend_of(format_)
    return backend if backend == format_ else f"{backend}_{format_}"
