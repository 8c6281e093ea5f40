"""Uploads that have begun: files that grow, and wait for the rest if the connection breaks."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from modelyard.core.errors import TooLarge, Unavailable

SUFFIX: Final = ".part"
EXPIRY: Final = 24 * 3600.0
"""Seconds without a byte after which the beginning of an upload is dropped."""
MOST: Final = 16
"""How many uploads a tenant may have begun; a further one drops the oldest."""
WORTH_RESUMING: Final = 1 << 20
"""Bytes. What is shorter is sent again as quickly, and is not kept when the server starts."""
_SWEEP: Final = 600.0
_PIECE: Final = 1 << 20


class Partial:
    """One upload that this process alone is writing."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file

    @property
    def offset(self) -> int:
        """How many bytes there are."""
        return os.fstat(self.file.fileno()).st_size

    def begin(self, offset: int) -> hashlib._Hash:
        """Go on behind `offset` bytes, which must be there; return what hashes them."""
        self.file.truncate(offset)
        self.file.seek(0)
        digest = hashlib.sha256()
        while piece := self.file.read(_PIECE):
            digest.update(piece)
        return digest

    def drop(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


class PartialUploads:
    """The files of `folder`, each locked by whoever writes it.

    `max_bytes` bounds what all that a tenant has begun may take together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._swept = 0.0

    def offset(self, tenant_id: str, digest: str) -> int | None:
        """How many bytes have come; None when none have."""
        try:
            return self._path(tenant_id, digest).stat().st_size
        except FileNotFoundError:
            return None

    @contextmanager
    def writing(self, tenant_id: str, digest: str) -> Iterator[Partial]:
        """Have the upload for oneself.

        Raises:
            Unavailable: another connection is sending it.
            TooLarge: the tenant's other uploads take all the room that one tenant may have.
        """
        if time.monotonic() - self._swept > _SWEEP:
            self._sweep()
        self._make_room(tenant_id, digest)
        path = self._path(tenant_id, digest)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            if not _locked(file, path):
                raise Unavailable("another connection is sending this file", retry_after=2)
            partial = Partial(path, file)
            try:
                yield partial
            finally:
                # Nobody gains from a beginning without a byte.
                if partial.offset == 0:
                    partial.drop()

    def drop(self, tenant_id: str, digest: str) -> bool:
        """Forget what has come; whether anything had."""
        try:
            self._path(tenant_id, digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def begin(self) -> None:
        """Drop what nobody will come back for: the server has just started."""
        self._sweep(WORTH_RESUMING)

    def _sweep(self, least: int = 0) -> None:
        """Drop what has waited too long, and what is shorter than `least` bytes."""
        self._swept = time.monotonic()
        oldest = time.time() - EXPIRY
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):
                told = path.stat()
                if told.st_mtime < oldest or told.st_size < least:
                    _drop_unlocked(path)

    def _make_room(self, tenant_id: str, digest: str) -> None:
        mine = []
        for path in self._folder.glob(f"{tenant_id}-*{SUFFIX}"):
            with suppress(FileNotFoundError):
                if path != self._path(tenant_id, digest):
                    told = path.stat()
                    mine.append((told.st_mtime, told.st_size, path))
        mine.sort()
        total = sum(size for _, size, _ in mine)
        while mine and (len(mine) >= MOST or total >= self._max_bytes):
            _, size, path = mine.pop(0)
            if _drop_unlocked(path):
                total -= size
            elif not mine:
                raise TooLarge("too many uploads have begun; finish or delete one first")

    def _path(self, tenant_id: str, digest: str) -> Path:
        return self._folder / f"{tenant_id}-{digest}{SUFFIX}"


def _locked(file: BinaryIO, path: Path) -> bool:
    """Lock the file; False when another has it, or it was dropped meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _drop_unlocked(path: Path) -> bool:
    """Remove the file unless somebody writes it."""
    try:
        with path.open("r+b") as file:
            if not _locked(file, path):
                return False
            path.unlink()
    except FileNotFoundError:
        pass
    return True
