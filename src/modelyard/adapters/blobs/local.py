"""Blobs in a folder of this host."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from obstore.store import LocalStore

from modelyard.adapters.blobs.store import BLOBS, INCOMING, BlobStore

_ABANDONED: Final = 24 * 3600.0


def local_blobs(folder: Path) -> BlobStore:
    """Blobs in `folder`, which is made if need be; what `put` returned survives a power cut."""
    for part in (folder, folder / INCOMING, folder / BLOBS):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    _drop_abandoned(folder / INCOMING)
    return BlobStore(LocalStore(prefix=folder), _Synced(folder))


class _Synced:
    """Durability by fsync, which the object store leaves to its users."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep_bytes(self, path: str) -> None:
        _sync(self._folder / path)

    def keep_name(self, path: str) -> None:
        # The name's folder, and the folders above, in which that one may be new.
        for parent in list(Path(path).parents):
            _sync(self._folder / parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_abandoned(incoming: Path) -> None:
    """Remove what processes that were killed have left half written."""
    oldest = time.time() - _ABANDONED
    for path in incoming.iterdir():
        try:
            if path.stat().st_mtime < oldest:
                path.unlink()
        except FileNotFoundError:  # another process has the same idea
            continue
