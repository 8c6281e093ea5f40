"""Language models in a GGUF file: checked, then handed to an engine that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from modelyard.core.errors import Invalid, UnsupportedFormat
from modelyard.core.gguf.language import read_language_model
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.openvino import OpenVinoModel

CONTEXT: Final = 8192
"""Most tokens of prompt and answer together, where the model itself could look at more."""
CONCURRENCY: Final = 16
"""Answers that are generated at once; further calls wait for their turn."""


def load(folder: Path, manifest: RuntimeManifest) -> OpenVinoModel:
    """Open the model with its engine.

    Raises:
        CannotLoad: the file is damaged, or of a kind that the engine does not read.
    """
    path = manifest.path(folder)
    try:
        facts = read_language_model(path)
    except (Invalid, UnsupportedFormat) as error:
        raise CannotLoad(error.message) from None
    if not facts.chat_template:
        raise CannotLoad("it has no chat template: only models that answer can be served")
    return OpenVinoModel(path, context=min(facts.context, CONTEXT), concurrency=CONCURRENCY)
