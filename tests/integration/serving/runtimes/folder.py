"""Loading a file as a replica does: from a folder, by a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.core.tensors import Signature, Tensor
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import LoadedModel, RuntimeManifest


def loaded(path: Path, format_: str, signature: Signature | None = None) -> LoadedModel:
    """The model of this file."""
    return load(path.parent, RuntimeManifest(format_, {"model": path.name}, signature))


def texts(*values: str) -> Tensor:
    """A tensor of strings."""
    return np.array(values, np.object_)


def signature_of(model: LoadedModel) -> Signature:
    """The signature of a model that has one."""
    assert model.signature is not None
    return model.signature
