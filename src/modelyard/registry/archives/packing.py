"""Packing a folder: the same files give the same bytes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_REGULAR: Final = 0o100644 << 16


def pack(folder: Path, target: Path) -> None:
    """Write the regular files of `folder` into a ZIP archive, by name and uncompressed."""
    regular = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    pack_files({path.relative_to(folder).as_posix(): path for path in regular}, target)


def pack_files(files: Mapping[str, Path], target: Path) -> None:
    """Write these files into a ZIP archive, by the names that they are to have there."""
    with zipfile.ZipFile(target, "x") as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = _REGULAR
            entry.create_system = 3
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed, 1 << 20)
