"""Compressed streams, read under bounds."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from enum import StrEnum
from typing import BinaryIO, Final, Protocol

from modelyard.registry.archives.limits import ArchiveLimits, Damaged

PIECE: Final = 1 << 18
_LZMA_MEMORY: Final = 256 << 20
_ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class Compression(StrEnum):
    """How a stream is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZLIB = "zlib"
    BZIP2 = "bzip2"
    XZ = "xz"
    LZMA = "lzma"


def compression_of(head: bytes) -> Compression:
    """What the first bytes say."""
    if head.startswith(b"\x1f\x8b\x08"):
        return Compression.GZIP
    if head.startswith(b"BZh"):
        return Compression.BZIP2
    if head.startswith(b"\xfd7zXZ\x00"):
        return Compression.XZ
    if head.startswith(b"\x5d\x00\x00"):
        return Compression.LZMA
    return Compression.ZLIB if head.startswith(_ZLIB) else Compression.NONE


class _Inflate:
    """zlib's decompressor with the interface that the others share."""

    def __init__(self, window: int) -> None:
        self._inflate = zlib.decompressobj(window)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    @property
    def needs_input(self) -> bool:
        # It may hold output back although it has taken all of its input.
        return not self._full and not self._inflate.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self._full = len(piece) == max_length
        return piece


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _decompressor(kind: Compression) -> _Decompressor:
    if kind is Compression.BZIP2:
        return bz2.BZ2Decompressor()
    if kind is Compression.XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)
    if kind is Compression.LZMA:
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY)
    return _Inflate(31 if kind is Compression.GZIP else 15)


def decompress(file: BinaryIO, kind: Compression, limits: ArchiveLimits) -> Iterator[bytes]:
    """The bytes in pieces of at most `PIECE`.

    Raises:
        Damaged: it is cut off, or is no such stream.
        TooLarge: over the limits.
    """
    if kind is Compression.NONE:
        while piece := file.read(PIECE):
            yield piece
        return
    read = written = 0
    stream = _decompressor(kind)
    data = b""
    try:
        while True:
            if stream.eof:
                # Several streams may follow one another.
                data = stream.unused_data or file.read(PIECE)
                read += 0 if stream.unused_data else len(data)
                if not data.strip(b"\x00"):
                    return
                stream = _decompressor(kind)
            elif stream.needs_input and not data:
                data = file.read(PIECE)
                read += len(data)
                if not data:
                    raise Damaged(f"the {kind} stream is cut off")
            piece = stream.decompress(data, PIECE)
            data = b""
            written += len(piece)
            limits.check_output(written, read)
            if piece:
                yield piece
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise Damaged(f"the {kind} stream is damaged: {error}") from None
