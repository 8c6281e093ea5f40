"""Opening what was uploaded: a model's file, or an archive in which there is one.

Nothing of the model is run here, nor parsed beyond what tells formats apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelyard.core.errors import ModelyardError
from modelyard.registry.archives import Archive, extract, pack, pack_files
from modelyard.registry.artifact import Format
from modelyard.registry.detection import find_format, find_model
from modelyard.training.source import Source
from modelyard.training.trained import Opened

FILES: Final[Mapping[Format, str]] = {
    Format.ONNX: "model.onnx",
    Format.XGBOOST: "model.xgb",
    Format.LIGHTGBM: "model.txt",
    Format.SAFETENSORS: "model.safetensors",
    Format.GGUF: "model.gguf",
    Format.PICKLE: "model.pkl",
    Format.JOBLIB: "model.joblib",
    Format.SKOPS: "model.skops",
    Format.TORCH_EXPORT: "model.pt2",
    Format.TORCHSCRIPT: "model.pt",
    Format.KERAS: "model.keras",
    Format.KERAS_H5: "model.h5",
    Format.PYTHON: "model.zip",
    Format.EMBEDDER: "model.zip",
    Format.UPSTREAM: "upstreams.json",
    Format.TEXT_CLASSIFIER: "model.zip",
    Format.IMAGE_CLASSIFIER: "model.zip",
}
"""What the model's file is called from here on, whatever its owner calls it."""

SAMPLE_FILE: Final = "sample.json"
_EXAMPLES: Final = ("serving_input_example.json", "input_example.json")
_UNPACKED: Final = "unpacked"


def open_model(path: Path, filename: str) -> Opened:
    """Find the model; an archive is unpacked beside the file, and its model put there too.

    Raises:
        UnsupportedFormat: what the file is, what is supported, what to do.
        Invalid: an archive that is refused, or that holds several models.
        Damaged: it is cut off, or its bytes have changed.
        TooLarge: the archive is over the limits.
    """
    source = Source.called(path, filename)
    try:
        found = find_format(path)
        if isinstance(found, Format):
            return Opened(found, path.name)
        return _unpack(found, path.parent)
    except ModelyardError as error:
        raise type(error)(f"{source.name}: {error.message}") from None


def _unpack(archive: Archive, scratch: Path) -> Opened:
    folder = scratch / _UNPACKED
    extract(archive, folder)
    model = find_model(folder)
    target = scratch / FILES[model.format]
    sample = ""
    if model.files:
        pack_files(model.files, target)
    elif model.path.is_dir():
        pack(model.path, target)
    else:
        sample = _example(model.path.parent, scratch) if model.mlflow else ""
        model.path.rename(target)
    return Opened(model.format, target.name, sample, "mlflow" if model.mlflow else "archive")


def _example(folder: Path, scratch: Path) -> str:
    """Keep the rows that MLflow has saved with the model, if it has."""
    for above in (folder, *folder.parents):
        for name in _EXAMPLES:
            if (above / name).is_file():
                (above / name).rename(scratch / SAMPLE_FILE)
                return SAMPLE_FILE
        if above.name == _UNPACKED:
            break
    return ""
