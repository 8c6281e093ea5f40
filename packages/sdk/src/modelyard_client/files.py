"""Handing files to the server: by their digest, and only once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from modelyard_client.errors import ClientError
from modelyard_client.transport import Transport, route


class Upload(msgspec.Struct, frozen=True):
    """A file that the server holds. `digest` is its SHA-256, `size` is in bytes."""

    digest: str
    size: int


def send_file(transport: Transport, file: Path) -> Upload:
    """Upload the file; the server keeps the same bytes once.

    Raises:
        ClientError: the file cannot be read.
    """
    try:
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        return transport.upload(route("uploads", digest), file, Upload)
    except OSError as error:
        raise ClientError(f"cannot read {file}: {error.strerror}") from None
