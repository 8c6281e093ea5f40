"""A model's versions: immutable, numbered from 1, each with its lineage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Artifact, Format
from modelyard.registry.card import Card
from modelyard.registry.parity import Parity


class Lineage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a version comes from: enough to make it again."""

    source: str
    """`training` or `import`."""
    code_version: str
    dataset: str = ""
    dataset_version: int = 0
    dataset_digest: str = ""
    job_id: str = ""
    seed: int | None = None
    parameters: dict[str, Any] = {}
    libraries: dict[str, str] = {}


class ModelVersion(msgspec.Struct, frozen=True):
    """One version of one model. `signature` is None when nothing could tell it."""

    id: str
    model: str
    number: int
    created_at: datetime
    signature: Signature | None
    artifacts: tuple[Artifact, ...]
    lineage: Lineage
    card: Card
    parity: Parity | None = None

    @property
    def served(self) -> tuple[Artifact, ...]:
        """The artifacts that the gateway loads; empty when there is no data-only form."""
        if self.signature is None or (self.parity is not None and not self.parity.agreed):
            return ()
        if not any(artifact.format is Format.ONNX for artifact in self.artifacts):
            return ()
        return tuple(a for a in self.artifacts if a.format in (Format.ONNX, Format.FEATURES))


class NewVersion(msgspec.Struct, frozen=True):
    """What a training job or an import hands to the registry, before it has a number."""

    signature: Signature | None
    artifacts: tuple[Artifact, ...]
    lineage: Lineage
    card: Card
    parity: Parity | None = None
