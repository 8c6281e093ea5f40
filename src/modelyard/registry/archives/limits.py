"""How much an archive may hold."""

from __future__ import annotations

from typing import Final

import msgspec

from modelyard.core.errors import ModelyardError, TooLarge

_MIB: Final = 1 << 20


class Damaged(ModelyardError):
    """A file of a known kind that is cut off, or whose bytes have changed."""

    code = "damaged"


class ArchiveLimits(msgspec.Struct, frozen=True):
    """Bounds on what comes out of an archive.

    `ratio` bounds what comes out by what went in, once more than `free_bytes` have come out: a
    small file of zeros may well shrink to nothing. `depth` counts folders, `name_bytes` is of one
    part of a path.
    """

    total_bytes: int = 4096 * _MIB
    entries: int = 10_000
    ratio: int = 200
    free_bytes: int = 16 * _MIB
    depth: int = 16
    name_bytes: int = 255
    head_bytes: int = 64 * 1024
    """Of the extra headers of one tar entry."""

    def check_entries(self, entries: int) -> None:
        """Raises TooLarge."""
        if entries > self.entries:
            raise TooLarge(f"the archive holds over {self.entries} entries, which is the most")

    def check_output(self, written: int, read: int, what: str = "the archive") -> None:
        """Raises TooLarge when `read` bytes of an archive, or of one entry, became too many."""
        if written > self.total_bytes:
            raise TooLarge(
                f"{what} unpacks to over {self.total_bytes >> 20} MiB, which is the most"
            )
        if written > self.free_bytes and written > self.ratio * read:
            raise TooLarge(
                f"{what} unpacks to over {self.ratio} times its size, as only bombs do; "
                "pack the files uncompressed"
            )
