"""The files of a model version, and the allow-list of formats: which are data, which are code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from modelyard.core.trust import Trust


class Format(StrEnum):
    """What a file is, decided by its content. A format that is not here is not taken."""

    ONNX = "onnx"
    FEATURES = "features"
    """Tokenisation and vocabulary of a text model, as JSON data beside its graph."""
    XGBOOST = "xgboost"
    """JSON or UBJSON, as `save_model` writes it."""
    LIGHTGBM = "lightgbm"
    """The text that `save_model` writes."""
    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    PICKLE = "pickle"
    JOBLIB = "joblib"
    SKOPS = "skops"
    TORCH_EXPORT = "torch_export"
    """`.pt2`, as `torch.export.save` writes it."""
    TORCHSCRIPT = "torchscript"
    KERAS = "keras"
    KERAS_H5 = "keras_h5"
    PYTHON = "python"
    """A ZIP of a folder with a subclass of `modelyard.model.Model`."""
    EMBEDDER = "embedder"
    """A ZIP of a sentence embedder's graph, its tokenizer and their configuration."""
    UPSTREAM = "upstream"
    """JSON that names models of providers, which are asked in its place."""
    TEXT_CLASSIFIER = "text_classifier"
    """The same of a text classifier, with its labels."""
    IMAGE_CLASSIFIER = "image_classifier"
    """A ZIP of an image classifier's graph, its preprocessor's configuration and its labels."""


TRUST: Final[Mapping[Format, Trust]] = {
    Format.ONNX: Trust.INLINE,
    Format.FEATURES: Trust.INLINE,
    Format.UPSTREAM: Trust.INLINE,
    Format.XGBOOST: Trust.DATA,
    Format.LIGHTGBM: Trust.DATA,
    Format.SAFETENSORS: Trust.DATA,
    Format.GGUF: Trust.DATA,
    Format.EMBEDDER: Trust.DATA,
    Format.TEXT_CLASSIFIER: Trust.DATA,
    Format.IMAGE_CLASSIFIER: Trust.DATA,
    Format.PICKLE: Trust.CODE,
    Format.JOBLIB: Trust.CODE,
    Format.SKOPS: Trust.CODE,
    Format.TORCH_EXPORT: Trust.CODE,
    Format.TORCHSCRIPT: Trust.CODE,
    Format.KERAS: Trust.CODE,
    Format.KERAS_H5: Trust.CODE,
    Format.PYTHON: Trust.CODE,
}
"""The one allow-list. Scanners for bad files advise at most; this decides."""

DATA_ONLY: Final = frozenset(one for one, trust in TRUST.items() if trust is Trust.INLINE)
"""The formats that a gateway may hold, and no other."""


class Artifact(msgspec.Struct, frozen=True):
    """One file. `digest` is the SHA-256 of its bytes, `size` is in bytes."""

    name: str
    format: Format
    digest: str
    size: int

    @property
    def role(self) -> str:
        """What it is to the runtime that loads it: the model itself, or what stands beside it."""
        return "features" if self.format is Format.FEATURES else "model"
