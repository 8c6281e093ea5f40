"""The files of a model version, and which formats are data and which are code."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Format(StrEnum):
    """What a file is, decided by its content."""

    ONNX = "onnx"
    JOBLIB = "joblib"
    FEATURES = "features"
    """Tokenisation and vocabulary of a text model, as JSON data beside its graph."""


DATA_ONLY: Final = frozenset({Format.ONNX, Format.FEATURES})
"""Formats that cannot execute code when they are read: the gateway may hold these and no other."""


class Artifact(msgspec.Struct, frozen=True):
    """One file. `digest` is the SHA-256 of its bytes, `size` is in bytes."""

    name: str
    format: Format
    digest: str
    size: int
