"""A folder of files: which of them is the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.errors import Invalid, ModelyardError, UnsupportedFormat
from modelyard.registry.artifact import Format
from modelyard.registry.detection.file import find_format
from modelyard.registry.detection.network import find_network
from modelyard.registry.detection.strangers import SUPPORTED

CODE_FILES: Final = ("model.py", "modelyard.toml")
"""Either makes a folder a custom Python model: its code, or what says where that is."""
MLFLOW_FILE: Final = "MLmodel"
_MAX_MLFLOW: Final = 1 << 20


class FolderModel(msgspec.Struct, frozen=True):
    """The model of a folder. `path` is its file's, or the folder's with a model of many files.

    `mlflow`: MLflow wrote the folder. `files` are those that belong to the model, by the names that
    they are to have, where that is not all of them.
    """

    format: Format
    path: Path
    mlflow: bool = False
    files: Mapping[str, Path] = {}


def find_model(folder: Path) -> FolderModel:
    """Look for the one model in a folder that holds regular files and folders only.

    Raises:
        UnsupportedFormat: there is none that can be served.
        Invalid: there are several, or a part is missing.
    """
    folder = _without_wrapping(folder)
    mlflow = (folder / MLFLOW_FILE).is_file()
    if mlflow:
        _check_mlflow(folder / MLFLOW_FILE)
    elif any((folder / name).is_file() for name in CODE_FILES):
        return FolderModel(Format.PYTHON, folder)
    elif (network := find_network(folder)) is not None:
        return FolderModel(network.format, folder, files=network.files)
    found: dict[Path, Format] = {}
    last: ModelyardError | None = None
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            kind = find_format(path)
        except ModelyardError as error:
            last = error
        else:
            # Archives within archives are not opened.
            if isinstance(kind, Format):
                found[path] = kind
    if len(found) > 1:
        names = ", ".join(f"'{path.relative_to(folder)}' ({found[path]})" for path in found)
        raise Invalid(
            f"there are {len(found)} models in this folder: {names[:500]}; import one of them"
        )
    if not found:
        raise _nothing(folder, last)
    ((path, format_),) = found.items()
    return FolderModel(format_, path, mlflow)


def _nothing(folder: Path, last: ModelyardError | None) -> ModelyardError:
    names = ", ".join(f"'{path.name}'" for path in sorted(folder.iterdir())[:8])
    if last is not None and sum(1 for _ in folder.rglob("*")) == 1:
        return last
    return UnsupportedFormat(
        f"no model is in this folder, which holds {names or 'nothing'}. {SUPPORTED}"
    )


def _without_wrapping(folder: Path) -> Path:
    """Archives often hold one folder with everything in it."""
    inside = list(folder.iterdir())
    while len(inside) == 1 and inside[0].is_dir():
        folder = inside[0]
        inside = list(folder.iterdir())
    return folder


def _check_mlflow(path: Path) -> None:
    """Raises UnsupportedFormat for a model that only MLflow's own Python class can run."""
    text = path.read_bytes()[:_MAX_MLFLOW]
    if b"mlflow.pyfunc.model" in text and b"python_model" in text:
        raise UnsupportedFormat(
            "this MLflow folder holds a Python class (mlflow.pyfunc), which needs MLflow itself to "
            "run: write it as a custom Python model (a folder with model.py), or log the model in "
            f"its own flavour. {SUPPORTED}"
        )
