"""A model's versions: immutable, numbered from 1, each with its lineage."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from modelyard.core.errors import Conflict
from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.core.trust import Trust
from modelyard.registry.artifact import DATA_ONLY, TRUST, Artifact, Format
from modelyard.registry.card import Card
from modelyard.registry.parity import Parity

_ALONE: Final = frozenset({Format.ONNX, Format.UPSTREAM})
"""Formats that are the model itself, and open to every gateway."""

_ARCHIVES: Final = frozenset({Format.EMBEDDER, Format.TEXT_CLASSIFIER, Format.IMAGE_CLASSIFIER})
"""Formats of a graph with what stands before it."""

TRAINING: Final = "training"
IMPORT: Final = "import"


class VersionState(StrEnum):
    """READY: it can be deployed. FAILED: its file could not be read or tried; see the reason."""

    READY = "ready"
    FAILED = "failed"


class Lineage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a version comes from: enough to make it again."""

    source: str
    """`TRAINING` or `IMPORT`."""
    code_version: str
    dataset: str = ""
    dataset_version: int = 0
    dataset_digest: str = ""
    job_id: str = ""
    seed: int | None = None
    parameters: dict[str, Any] = {}
    libraries: dict[str, str] = {}


class NewVersion(msgspec.Struct, frozen=True):
    """What a training job or an import hands to the registry, before it has a number."""

    signature: Signature | None
    artifacts: tuple[Artifact, ...]
    lineage: Lineage
    card: Card
    parity: Parity | None = None
    profile: Profile | None = None
    state: VersionState = VersionState.READY
    reason: str = ""


class ModelVersion(msgspec.Struct, frozen=True):
    """One version of one model. `signature` is None when nothing could tell it.

    `profile` is what the form that is served costs; None where nobody has measured it.
    """

    id: str
    model: str
    number: int
    created_at: datetime
    signature: Signature | None
    artifacts: tuple[Artifact, ...]
    lineage: Lineage
    card: Card
    parity: Parity | None = None
    profile: Profile | None = None
    state: VersionState = VersionState.READY
    reason: str = ""

    @property
    def served(self) -> tuple[Artifact, ...]:
        """The artifacts of the form that is served; empty when there is none.

        That is the ONNX graph with what belongs to it, unless it disagrees with the form that it
        was made from: then it is that form. What was trained here reads frames of our own, which
        no runtime does: it is served as a graph, alone or in an archive with what stands before it,
        or not at all.
        """
        if self.state is not VersionState.READY or self.signature is None:
            return ()
        agreed = self.parity is None or self.parity.agreed
        if agreed and any(artifact.format in _ALONE for artifact in self.artifacts):
            return tuple(one for one in self.artifacts if one.format in DATA_ONLY)
        if self.lineage.source == TRAINING:
            return tuple(one for one in self.artifacts if agreed and one.format in _ARCHIVES)
        return tuple(one for one in self.artifacts if one.format not in DATA_ONLY)[:1]

    @property
    def trust(self) -> Trust | None:
        """Where the form that is served may be opened; None when there is none."""
        return TRUST[self.served[0].format] if self.served else None


def check_ready(version: ModelVersion) -> ModelVersion:
    """Raises Conflict for a version that has failed."""
    if version.state is not VersionState.READY:
        raise Conflict(
            f"version {version.number} of model '{version.model}' has failed: {version.reason}"
        )
    return version
