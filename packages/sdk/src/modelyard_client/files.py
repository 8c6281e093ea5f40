"""Handing files to the server: by their digest, only once, and resumed where it broke off."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, cast

import msgspec

from modelyard_client.errors import ApiError, ClientError, TimedOut, Unreachable
from modelyard_client.transport import Transport, route

if TYPE_CHECKING:
    import httpx2

_PIECE: Final = 1 << 18
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_REGULAR: Final = 0o100644 << 16
_FAILURES: Final = 12
"""How often in a row an upload may break without a byte of progress."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_PASSING: Final = frozenset({"interrupted", "conflict", "unavailable", "busy"})


class Upload(msgspec.Struct, frozen=True):
    """A file that the server holds. `digest` is its SHA-256, `size` is in bytes."""

    digest: str
    size: int


class Source(Protocol):
    """Bytes that can be read again, always the same."""

    def chunks(self) -> Iterator[bytes]: ...


class FileSource:
    """A file as it is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def chunks(self) -> Iterator[bytes]:
        """The file in pieces."""
        with self._path.open("rb") as source:
            while chunk := source.read(_PIECE):
                yield chunk


class FolderSource:
    """A folder as a ZIP archive, made while it is read: the same files give the same bytes.

    Links and special files are left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def chunks(self) -> Iterator[bytes]:
        """The archive in pieces."""
        stream = _Collected()
        # Nothing is compressed: weights hardly shrink, and other releases shrink differently.
        with zipfile.ZipFile(cast(BinaryIO, stream), "w") as archive:
            for file in self._files:
                entry = zipfile.ZipInfo(file.relative_to(self._path).as_posix(), _EPOCH)
                entry.external_attr = _REGULAR
                entry.create_system = 3
                with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as into:
                    while chunk := source.read(_PIECE):
                        into.write(chunk)
                        yield stream.take()
        yield stream.take()

    @cached_property
    def _files(self) -> list[Path]:
        return sorted(p for p in self._path.rglob("*") if p.is_file() and not p.is_symlink())


class _Collected:
    """What a ZIP writer has written and nobody has taken yet. It cannot be wound back."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


def send_path(transport: Transport, path: Path) -> Upload:
    """Upload a file, or a folder as a ZIP archive. The server keeps the same bytes once.

    A connection that breaks, or a server that is started again, is no error: the upload goes on
    where it was.

    Raises:
        ClientError: the file cannot be read or changes meanwhile, or the server cannot be reached
            any more.
        ApiError: the server refused it.
    """
    try:
        source: Source = FolderSource(path) if path.is_dir() else FileSource(path)
        digest, size = hashlib.sha256(), 0
        for chunk in source.chunks():
            digest.update(chunk)
            size += len(chunk)
        upload = Upload(digest.hexdigest(), size)
        _Sending(transport, source, upload).finish()
    except _ChangedError:
        raise ClientError(f"{path} was changed while it was being sent; send it again") from None
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror}") from None
    return upload


class _ChangedError(Exception):
    """A source has more or fewer bytes than it had before."""


class _Sending:
    """One upload under way."""

    def __init__(self, transport: Transport, source: Source, upload: Upload) -> None:
        self._transport = transport
        self._source = source
        self._upload = upload
        self._path = route("uploads", upload.digest)

    def finish(self) -> None:
        """Ask how much is there and send the rest, until all is."""
        failures, reached, pause = 0, 0, _FIRST_PAUSE
        while True:
            try:
                offset = self._offset()
                if offset is None:
                    return
                if offset > reached:
                    failures, reached, pause = 0, offset, _FIRST_PAUSE
                self._send(offset)
                return
            except (Unreachable, TimedOut, ApiError) as error:
                failures += 1
                if failures > _FAILURES or not _passing(error):
                    raise
                asked = error.retry_after if isinstance(error, ApiError) else 0.0
                time.sleep(min(max(pause, asked), _LONGEST_PAUSE))
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _offset(self) -> int | None:
        """How much the server has; None when that is all."""
        answer = self._transport.once("HEAD", self._path, missing=True)
        if answer.status_code == 404:
            return 0
        if answer.headers.get("upload-complete") == "?1":
            return None
        offset = answer.headers.get("upload-offset", "0")
        return int(offset) if offset.isascii() and offset.isdigit() else 0

    def _send(self, offset: int) -> httpx2.Response:
        headers = {
            "content-type": "application/octet-stream",
            "content-length": str(self._upload.size - offset),
        }
        if offset:
            headers |= {"upload-offset": str(offset), "upload-complete": "?1"}
        method = "PATCH" if offset else "PUT"
        rest = _exactly(_behind(self._source, offset), self._upload.size - offset)
        return self._transport.once(method, self._path, content=rest, headers=headers)


def _behind(source: Source, offset: int) -> Iterator[bytes]:
    """The source's bytes from `offset` on."""
    for chunk in source.chunks():
        if offset >= len(chunk):
            offset -= len(chunk)
        else:
            yield chunk[offset:]
            offset = 0


def _exactly(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The chunks; raises _ChangedError unless they are `size` bytes together."""
    for chunk in chunks:
        size -= len(chunk)
        if size < 0:
            break
        yield chunk
    if size:
        raise _ChangedError


def _passing(error: Any) -> bool:
    """Whether it may be otherwise the next time."""
    return not isinstance(error, ApiError) or error.code in _PASSING
