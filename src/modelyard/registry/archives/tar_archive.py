"""Tar archives (ustar, pax and GNU), plain or compressed, read from front to back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from modelyard.core.errors import Invalid, TooLarge
from modelyard.registry.archives.compression import Compression, decompress
from modelyard.registry.archives.limits import ArchiveLimits, Damaged
from modelyard.registry.archives.member import Member, Tree, check_path, refused_kind

BLOCK: Final = 512
_MAX_HEADERS: Final = 8
_FILE: Final = (b"0", b"\x00", b"7")
_FOLDER: Final = b"5"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_KINDS: Final[Mapping[bytes, str]] = {
    b"1": "a hard link",
    b"2": "a link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


def is_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar archive: its first header sums up right."""
    return len(head) >= BLOCK and any(head[:BLOCK]) and _sums_up(head[:BLOCK])


class TarArchive:
    """A tar file of `compression`, read anew by each walk."""

    def __init__(
        self, path: Path, compression: Compression, limits: ArchiveLimits | None = None
    ) -> None:
        self._path = path
        self._compression = compression
        self._limits = limits or ArchiveLimits()

    def walk(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Each member and its bytes."""
        with self._path.open("rb") as file:
            stream = _Stream(decompress(file, self._compression, self._limits))
            tree, entries = Tree(), 0
            while (header := stream.header()) is not None:
                entries += 1
                self._limits.check_entries(entries)
                header, told = self._special(stream, header)
                member = self._member(header, told)
                content = stream.content(member.size)
                if member.path:
                    tree.add(member)
                    yield member, content
                for _ in content:
                    pass

    def _special(self, stream: _Stream, header: bytes) -> tuple[bytes, dict[str, bytes]]:
        """Read the headers that only tell of the next one; return that one and what they told."""
        told: dict[str, bytes] = {}
        headers = 0
        while (kind := header[156:157]) in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            size = _number(header[124:136])
            headers += 1
            if size > self._limits.head_bytes or headers > _MAX_HEADERS:
                raise TooLarge(
                    "the archive has an entry with too many headers, or with one of over "
                    f"{self._limits.head_bytes} bytes"
                )
            data = b"".join(stream.content(size))
            if kind == _LONG_NAME:
                told["path"] = data.rstrip(b"\x00")
            elif kind in (_PAX, _PAX_GLOBAL):
                said = _pax(data)
                if kind == _PAX:
                    told |= said
                elif said:
                    raise Invalid("the archive is refused: it renames all its entries at once")
            following = stream.header()
            if following is None:
                raise Damaged("the tar archive is cut off")
            header = following
        return header, told

    def _member(self, header: bytes, told: Mapping[str, bytes]) -> Member:
        raw = told.get("path")
        if raw is None:
            raw = header[:100].partition(b"\x00")[0]
            prefix = header[345:500].partition(b"\x00")[0]
            # GNU's own magic has other fields where ustar has the prefix.
            if prefix and header[257:263] == b"ustar\x00":
                raw = prefix + b"/" + raw
        kind = header[156:157]
        path = check_path(raw, "utf-8", self._limits)
        name = "/".join(path)
        if "sparse" in told:
            raise refused_kind(name, _KINDS[b"S"])
        folder = kind == _FOLDER or (kind in _FILE and raw.endswith(b"/"))
        if not folder and kind not in _FILE:
            raise refused_kind(name, _KINDS.get(kind, "of an unknown kind"))
        if not folder and not path:
            raise Invalid("the archive is refused: it has a file without a name")
        size = _number(header[124:136])
        if "size" in told:
            size = _decimal(told["size"])
        if folder and size:
            raise Invalid(f"the archive is refused: its folder '{name[:80]}' holds bytes")
        self._limits.check_output(size, size)
        return Member(path, size, folder)


class _Stream:
    """A tar's blocks, out of pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def header(self) -> bytes | None:
        """The next header; None at the end of the archive.

        Raises:
            Damaged: what is there is no header.
        """
        block = self._take(BLOCK)
        if not block:
            raise Damaged("the tar archive is cut off: its end is missing")
        if not any(block):
            # Two such blocks end an archive; what follows is padding, read for the bounds.
            for piece in self._pieces:
                if piece.strip(b"\x00"):
                    raise Invalid("the archive is refused: something stands after its end")
            if self._rest.strip(b"\x00"):
                raise Invalid("the archive is refused: something stands after its end")
            return None
        if not _sums_up(block):
            raise Damaged("the tar archive is damaged: a header has another checksum")
        return block

    def content(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes; the padding behind them is skipped."""
        rest = size
        while rest > 0:
            piece = self._some(rest)
            rest -= len(piece)
            yield piece
        self._take(-size % BLOCK)

    def _some(self, most: int) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
            if not self._rest:
                raise Damaged("the tar archive is cut off")
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece

    def _take(self, size: int) -> bytes:
        """Exactly so many bytes, or none at the very end."""
        taken = b""
        while len(taken) < size:
            if not self._rest:
                self._rest = next(self._pieces, b"")
            if not self._rest:
                if taken:
                    raise Damaged("the tar archive is cut off")
                return b""
            needed = size - len(taken)
            taken, self._rest = taken + self._rest[:needed], self._rest[needed:]
        return taken


def _sums_up(block: bytes) -> bool:
    """The header's checksum is the sum of its bytes, with its own field as spaces."""
    field = block[148:156].strip(b" \x00")
    if not field or not all(48 <= digit <= 55 for digit in field):
        return False
    return int(field, 8) == sum(block[:148]) + 8 * 32 + sum(block[156:])


def _number(field: bytes) -> int:
    """An octal number, or a binary one as GNU writes those that do not fit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \x00")
    if not digits:
        return 0
    if not all(48 <= digit <= 55 for digit in digits):
        raise Damaged("the tar archive is damaged: a size is no number")
    return int(digits, 8)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Damaged("the tar archive is damaged: a size is no number")
    return int(text)


def _pax(data: bytes) -> dict[str, bytes]:
    """The path and the size of a pax header, and whether the entry is sparse."""
    told: dict[str, bytes] = {}
    while data:
        length_text, _, _ = data.partition(b" ")
        length = _decimal(length_text) if len(length_text) < 8 else 0
        record = data[len(length_text) + 1 : length]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals or not record.endswith(b"\n") or length > len(data):
            raise Damaged("the tar archive is damaged: a pax header is not one")
        if key in (b"path", b"size"):
            told[key.decode()] = value
        elif key.startswith(b"GNU.sparse."):
            told["sparse"] = value
        data = data[length:]
    return told
