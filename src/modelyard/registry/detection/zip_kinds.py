"""Model files that are ZIP archives, told by what is in them."""

from __future__ import annotations

from typing import Final

from modelyard.core.errors import UnsupportedFormat
from modelyard.registry.archives import ZipArchive
from modelyard.registry.artifact import Format
from modelyard.registry.detection.strangers import SUPPORTED

_KERAS: Final = frozenset({"config.json", "metadata.json", "model.weights.h5"})
_TORCH_SAVE: Final = (
    "this file was written by torch.save: it is a pickle, which holds the name of a class and not "
    "the network itself. Export the network with torch.export.save (or torch.jit.save), or to "
    f"ONNX, and import that. {SUPPORTED}"
)
_NUMPY: Final = (
    "this file is a NumPy archive (.npz): it holds arrays and no model. Import the file that the "
    f"library of the model saves. {SUPPORTED}"
)


def format_of_zip(archive: ZipArchive) -> Format | None:
    """The format; None for an archive of some files.

    Raises:
        UnsupportedFormat: a file that is no model that can be served; says what to do.
    """
    names = {member.name for member in archive.members if not member.folder}
    if names >= _KERAS:
        return Format.KERAS
    if "schema.json" in names and all(
        name == "schema.json" or name.endswith(".npy") or "/" not in name for name in names
    ):
        return Format.SKOPS
    if names and all(name.endswith(".npy") for name in names):
        raise UnsupportedFormat(_NUMPY)
    # PyTorch puts all its files below one folder, whose name is the file's.
    below = {name.partition("/")[2] for name in names if "/" in name}
    if {"models/model.json", "archive_format"} <= below or "serialized_exported_program.json" in (
        names | below
    ):
        return Format.TORCH_EXPORT
    if {"data.pkl", "constants.pkl", "version"} <= below:
        return Format.TORCHSCRIPT
    if {"data.pkl", "version"} <= below:
        raise UnsupportedFormat(_TORCH_SAVE)
    return None
