"""Ports that more than one room needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from modelyard.core.secret import Secret

Tx_co = TypeVar("Tx_co", covariant=True)


class Store(Protocol[Tx_co]):
    """The database, as a room sees it: transactions of the shape that the room asks for."""

    def begin(self) -> AbstractContextManager[Tx_co]:
        """A transaction that may write. Commits on leaving, rolls back on an exception."""
        ...

    def read(self) -> AbstractContextManager[Tx_co]:
        """A transaction that only reads, on one consistent state."""
        ...


class Blobs(Protocol):
    """Content-addressed bytes. A blob's name is the SHA-256 of what it holds, in hexadecimal.

    Putting is create-only and idempotent: the same bytes have the same name. What `put` returned
    is on disk, not in a cache.
    """

    def put(self, source: Path) -> str:
        """Store the file's bytes; return their digest."""
        ...

    def get(self, digest: str) -> bytes:
        """All the bytes.

        Raises:
            NotFound: no such blob.
        """
        ...

    def open(self, digest: str, chunk: int = 1 << 20) -> Iterator[bytes]:
        """The bytes in pieces of about `chunk`.

        Raises:
            NotFound: no such blob.
        """
        ...

    def fetch(self, digest: str, target: Path) -> None:
        """Write the bytes to a new file.

        Raises:
            NotFound: no such blob.
        """
        ...

    def exists(self, digest: str) -> bool:
        """Whether the blob is there."""
        ...


class Sealer(Protocol):
    """Encrypts what is kept. `about` are the ids of what it belongs to: what is sealed for one
    thing cannot be opened for another.
    """

    def seal(self, secret: Secret, *about: str) -> bytes:
        """The secret as it may be kept."""
        ...

    def open(self, sealed: bytes, *about: str) -> Secret:
        """The secret again.

        Raises:
            Conflict: it was sealed under another key, for something else, or has been changed.
        """
        ...
