"""Which library runs which format. A library is imported when a model needs it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelyard.core.errors import NotInstalled
from modelyard.serving.runtimes.contract import (
    CannotLoad,
    LoadedModel,
    ModelRuntime,
    RuntimeManifest,
)

_RUNTIMES: Final[Mapping[str, tuple[str, str]]] = {
    "xgboost": ("xgboost_model", "xgboost"),
    "lightgbm": ("lightgbm_model", "lightgbm"),
    "pickle": ("sklearn_model", "sklearn"),
    "joblib": ("sklearn_model", "sklearn"),
    "skops": ("sklearn_model", "sklearn"),
    "torch_export": ("torch_model", "torch"),
    "torchscript": ("torch_model", "torch"),
    "keras": ("keras_model", "keras"),
    "keras_h5": ("keras_model", "keras"),
    "python": ("python_model", ""),
    "onnx": ("onnx", ""),
    "gguf": ("gguf", "llm"),
    "embedder": ("embedder", "llm"),
    "text_classifier": ("text_classifier", "llm"),
    "image_classifier": ("image_classifier", "vision"),
}
"""By format: the module beside this one, and the extra that installs its library."""

FORMATS: Final = frozenset(_RUNTIMES)
"""Every format that a replica can run."""


def runtime_for(format_: str) -> ModelRuntime:
    """The loader of the format's library.

    Raises:
        CannotLoad: no library runs it.
        NotInstalled: the library is not installed; the message names the extra.
    """
    if format_ not in _RUNTIMES:
        raise CannotLoad(f"no runtime serves the format '{format_[:40]}'")
    module, extra = _RUNTIMES[format_]
    try:
        load: ModelRuntime = importlib.import_module(f"modelyard.serving.runtimes.{module}").load
    except ModuleNotFoundError as error:
        raise NotInstalled(
            f"models of the format '{format_}' need '{error.name}', which is not installed: "
            f"pip install 'modelyard[{extra}]'"
        ) from None
    return load


def load(folder: Path, manifest: RuntimeManifest) -> LoadedModel:
    """Load a version from its folder by the library that its format asks for.

    Raises:
        ModelyardError: why it cannot be loaded, for a person to read.
    """
    return runtime_for(manifest.format)(folder, manifest)
