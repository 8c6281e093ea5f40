"""Trying networks that come with what they need to take texts or pictures."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from modelyard.core.errors import Invalid
from modelyard.core.profile import Profile
from modelyard.registry.artifact import Format
from modelyard.registry.card import Card
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import RuntimeManifest
from modelyard.training.trained import Examined

TASKS: Final[Mapping[Format, str]] = {
    Format.EMBEDDER: "text-embedding",
    Format.TEXT_CLASSIFIER: "text-classification",
    Format.IMAGE_CLASSIFIER: "image-classification",
}
_LIBRARIES: Final[Mapping[Format, tuple[str, ...]]] = {
    Format.EMBEDDER: ("onnxruntime", "tokenizers"),
    Format.TEXT_CLASSIFIER: ("onnxruntime", "tokenizers"),
    Format.IMAGE_CLASSIFIER: ("onnxruntime", "pillow"),
}


def _task(format_: Format, kind: str) -> str:
    return "text-regression" if kind == "text regressor" else TASKS[format_]


def examine_network(folder: Path, format_: Format, manifest: RuntimeManifest) -> Examined:
    """Load the network with what is beside it, and measure it.

    Raises:
        CannotLoad: it is no good; the message says why.
        NotInstalled: a library is missing here.
    """
    model = load(folder, manifest)
    try:
        if model.signature is None:
            raise Invalid("it does not tell what it takes")
        return Examined(
            signature=model.signature,
            card=Card(
                task=_task(format_, model.kind),
                algorithm=model.kind,
                description=" ".join(model.notes),
            ),
            profile=Profile(
                model.memory_bytes, model.call_seconds, model.row_seconds, model.stackable
            ),
            libraries={name: version(name) for name in _LIBRARIES[format_]},
        )
    finally:
        model.unload()
