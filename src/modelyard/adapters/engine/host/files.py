"""Where a replica's files lie: a copy of its version's, to read, and a scratch folder beside it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from modelyard.adapters.engine.host.messages import ReplicaSpec
from modelyard.core.errors import Invalid
from modelyard.core.ports import Blobs

_MODEL: Final = "model"
_WORK: Final = "work"
_LONGEST_NAME: Final = 200

_log = logging.getLogger(__name__)


class ReplicaFolder(msgspec.Struct, frozen=True):
    """`files` maps a role to a file's name beneath `model`."""

    path: Path
    files: Mapping[str, str]

    @property
    def model(self) -> Path:
        """The version's files."""
        return self.path / _MODEL

    @property
    def work(self) -> Path:
        """Where the replica may write."""
        return self.path / _WORK


class ReplicaFiles:
    """The folders of this host's replicas, beneath one of their own.

    Copies, not links: whoever gets past the sandbox still does not reach the blobs.
    """

    def __init__(self, root: Path, blobs: Blobs) -> None:
        self._root = root
        self._blobs = blobs

    def sweep(self) -> None:
        """Remove what an earlier host has left. Nobody uses the folders before this host does."""
        if self._root.exists():
            _remove(self._root)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def fetch(self, replica_id: str, spec: ReplicaSpec) -> ReplicaFolder:
        """Make a replica's folder. Takes as long as reading the files does.

        Raises:
            Invalid: a file's name is none that can stand in a folder, or comes twice.
            ModelyardError: a blob is missing or damaged.
            OSError: the disk is full.
        """
        folder = ReplicaFolder(
            self._root / replica_id, {file.role: _plain(file.name) for file in spec.files}
        )
        if len(set(folder.files.values())) != len(spec.files):
            raise Invalid("two files of the version have the same name or the same role")
        try:
            folder.model.mkdir(mode=0o700, parents=True)
            folder.work.mkdir(mode=0o700)
            for file in spec.files:
                target = folder.model / folder.files[file.role]
                self._blobs.fetch(file.digest, target)
                target.chmod(0o400)
            folder.model.chmod(0o500)
        except BaseException:
            _remove(folder.path)
            raise
        return folder

    def remove(self, replica_id: str) -> None:
        """Remove a replica's folder, if there is one."""
        path = self._root / replica_id
        if path.exists():
            _remove(path)


def _plain(name: str) -> str:
    plain = PurePosixPath(name).name
    if plain in {"", ".", ".."} or "\0" in plain or len(plain.encode()) > _LONGEST_NAME:
        raise Invalid(f"'{name[:80]}' cannot be the name of a version's file")
    return plain


def _remove(path: Path) -> None:
    """Remove a folder, whatever modes somebody has given to what is in it.

    What cannot be removed stays until the next sweep: somebody may still write there.
    """
    try:
        path.chmod(0o700)
        for folder, names, _ in os.walk(path):
            for name in names:
                inner = Path(folder, name)
                if not inner.is_symlink():
                    inner.chmod(0o700)
        shutil.rmtree(path)
    except OSError as error:
        _log.warning("a replica's folder stays", extra={"folder": path.name, "error": str(error)})
