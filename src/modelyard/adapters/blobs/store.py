"""Blobs over any object store: `sha256/<first two digits>/<digest>`, written once.

A blob is streamed to a name of its own below `incoming/` while its digest is taken, and then
moved to the name that the digest gives it: what stands there is whole, and is what was hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import MemoryStore, ObjectStore

from modelyard.core import ids
from modelyard.core.errors import ModelyardError, NotFound, Unavailable
from modelyard.core.uploads import check_digest

INCOMING: Final = "incoming"
BLOBS: Final = "sha256"
_CHUNK: Final = 1 << 20


class CorruptBlob(ModelyardError):
    """The bytes under a digest are not those that it names: the disk has changed them."""

    code = "corrupt_blob"


class Durability(Protocol):
    """What else it takes, beside writing it, for an object to survive a power cut."""

    def keep_bytes(self, path: str) -> None:
        """Make the object's bytes last."""
        ...

    def keep_name(self, path: str) -> None:
        """Make the object's name last."""
        ...


class BlobStore:
    """Blobs in an object store. Safe to share between threads.

    Every reader checks the digest, and raises `CorruptBlob` where it is wrong; `Invalid` for a
    name that is no digest.
    """

    def __init__(self, objects: ObjectStore, durability: Durability | None = None) -> None:
        self._objects = objects
        self._durability = durability

    def put(self, source: Path) -> str:
        """Store the file's bytes; return their digest.

        Raises:
            Unavailable: the bytes could not be written, such as on a full disk.
        """
        incoming = f"{INCOMING}/{ids.uuid7()}"
        digest = hashlib.sha256()
        with source.open("rb") as file:
            try:
                obstore.put(self._objects, incoming, _hashed(_pieces(file), digest))
                name = _name(digest.hexdigest())
                self._settle(incoming, name)
            except (BaseError, OSError) as error:
                raise Unavailable("the file could not be stored; is the disk full?") from error
            finally:
                with suppress(BaseError, OSError):
                    obstore.delete(self._objects, incoming)
        return digest.hexdigest()

    def get(self, digest: str) -> bytes:
        """All the bytes. Raises NotFound."""
        return b"".join(self.open(digest))

    def open(self, digest: str, chunk: int = _CHUNK) -> Iterator[bytes]:
        """The bytes in pieces of about `chunk`. Raises NotFound, before the first piece.

        Whether the digest is right shows at the end: an iteration that ends without
        `CorruptBlob` gave the right bytes.
        """
        try:
            found = obstore.get(self._objects, _name(digest))
        except FileNotFoundError:
            raise NotFound(f"there is no blob {digest}") from None
        return _verified((bytes(piece) for piece in found.stream(min_chunk_size=chunk)), digest)

    def fetch(self, digest: str, target: Path) -> None:
        """Write the bytes to a new file. Raises NotFound; on any error there is no file."""
        pieces = self.open(digest)
        with target.open("xb") as file:
            try:
                file.writelines(pieces)
            except BaseException:
                target.unlink()
                raise

    def exists(self, digest: str) -> bool:
        """Whether the blob is there."""
        try:
            obstore.head(self._objects, _name(digest))
        except FileNotFoundError:
            return False
        return True

    def _settle(self, incoming: str, name: str) -> None:
        """Give whole bytes their name. They must last before their name can."""
        if self._durability is not None:
            self._durability.keep_bytes(incoming)
        # Somebody else may have put the same bytes: they are there, which is all we want.
        with suppress(AlreadyExistsError):
            obstore.rename(self._objects, incoming, name, overwrite=False)
        if self._durability is not None:
            self._durability.keep_name(name)


def memory_blobs() -> BlobStore:
    """Blobs that last as long as the process."""
    return BlobStore(MemoryStore())


def _name(digest: str) -> str:
    return f"{BLOBS}/{check_digest(digest)[:2]}/{digest}"


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece


def _hashed(pieces: Iterator[bytes], digest: _Digest) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _verified(pieces: Iterator[bytes], expected: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    yield from _hashed(pieces, digest)
    if digest.hexdigest() != expected:
        raise CorruptBlob(f"blob {expected} is damaged: its bytes have another digest")
