"""Uploads: bytes that a tenant has handed over and may now refer to by their digest."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Protocol

import msgspec

from modelyard.core.errors import Invalid

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Upload(msgspec.Struct, frozen=True):
    """A whole, verified file. `digest` is its SHA-256, `size` is in bytes."""

    digest: str
    size: int
    created_at: datetime


class UploadRepository(Protocol):
    """The uploads of one tenant: another tenant's digest is not there."""

    def add(self, upload: Upload) -> None:
        """Keep it; the same digest again changes nothing."""
        ...

    def get(self, digest: str) -> Upload:
        """Raises NotFound."""
        ...


def check_digest(digest: str) -> str:
    """Raises Invalid unless `digest` is 64 hexadecimal digits in lower case."""
    if not _DIGEST.fullmatch(digest):
        raise Invalid("an upload's digest must be the file's SHA-256 as 64 lower-case hex digits")
    return digest
