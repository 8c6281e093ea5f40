"""ZIP archives: the central directory is the truth, and all else must agree with it.

After PKWARE's APPNOTE 6.3. Entries are stored or deflated; nothing stands before the first of
them, none overlaps another, and each local header says what the directory says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.errors import Invalid, TooLarge, UnsupportedFormat
from modelyard.registry.archives.compression import PIECE
from modelyard.registry.archives.limits import ArchiveLimits, Damaged
from modelyard.registry.archives.member import Member, Tree, check_path, refused_kind

_END: Final = struct.Struct("<4s4H2IH")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR: Final = struct.Struct("<4sIQI")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_MAX_COMMENT: Final = 0xFFFF
_MAX_DIRECTORY: Final = 64 << 20
_WIDE: Final = 0xFFFFFFFF
_WIDE_ENTRIES: Final = 0xFFFF
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW: Final = 0x0008
_UTF8: Final = 0x0800
_STORED, _DEFLATED = 0, 8
_UNIX: Final = 3
_KINDS: Final = {0o120000: "a link", 0o060000: "a device", 0o020000: "a device", 0o010000: "a pipe",
                 0o140000: "a socket"}  # fmt: skip


class ZipMember(Member, frozen=True):
    """A member and where its bytes are."""

    raw_name: bytes = b""
    flags: int = 0
    method: int = _STORED
    crc: int = 0
    packed: int = 0
    offset: int = 0


class _End(msgspec.Struct, frozen=True):
    entries: int
    size: int
    offset: int
    position: int


class ZipArchive:
    """A ZIP file, whose directory has been read and checked.

    Raises:
        Invalid: it holds what is not taken, or contradicts itself.
        Damaged: it is cut off or its directory is no directory.
        TooLarge: over the limits.
    """

    def __init__(self, path: Path, limits: ArchiveLimits | None = None) -> None:
        self._path = path
        self._limits = limits or ArchiveLimits()
        with path.open("rb") as self._file:
            self._length = self._file.seek(0, 2)
            end = self._end()
            self._limits.check_entries(end.entries)
            self.members = tuple(self._directory(end))
            self._check_ranges(end)

    def walk(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Each member and its bytes."""
        with self._path.open("rb") as self._file:
            for member in self.members:
                yield member, self._read(member)

    def _read(self, member: ZipMember) -> Iterator[bytes]:
        """The bytes of one member. Raises Damaged when they are not what the directory says."""
        crc = size = 0
        for piece in self._unpacked(member):
            crc = zlib.crc32(piece, crc)
            size += len(piece)
            yield piece
        if size != member.size or crc != member.crc:
            raise _damaged(member, "has another checksum")

    def _unpacked(self, member: ZipMember) -> Iterator[bytes]:
        self._file.seek(self._start(member))
        rest = member.packed
        if member.method == _STORED:
            while rest > 0:
                piece = self._exactly(min(PIECE, rest))
                rest -= len(piece)
                yield piece
            return
        inflate, unpacked = zlib.decompressobj(-15), 0
        while not inflate.eof:
            packed = inflate.unconsumed_tail or self._exactly(min(PIECE, rest))
            rest -= 0 if inflate.unconsumed_tail else len(packed)
            try:
                piece = inflate.decompress(packed, PIECE)
            except zlib.error:
                raise _damaged(member, "does not unpack") from None
            unpacked += len(piece)
            if unpacked > member.size:
                raise _damaged(member, "is larger than it says")
            if not packed and not piece:
                raise _damaged(member, "is cut off")
            yield piece
        if rest or inflate.unused_data:
            raise _damaged(member, "is smaller than it says")

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise Damaged("the archive is cut off")
        return data

    def _end(self) -> _End:
        """Find the end record: the one whose comment ends where the file does."""
        reach = min(self._length, _END.size + _MAX_COMMENT)
        self._file.seek(self._length - reach)
        tail = self._exactly(reach)
        at = tail.rfind(b"PK\x05\x06")
        while at >= 0:
            if at + _END.size <= reach:
                fields = _END.unpack_from(tail, at)
                if at + _END.size + fields[7] == reach:
                    return self._checked_end(fields, self._length - reach + at)
            at = tail.rfind(b"PK\x05\x06", 0, at)
        raise Damaged("the ZIP archive is cut off: it has no directory at its end")

    def _checked_end(self, fields: tuple[int, ...], position: int) -> _End:
        _, disk, first_disk, here, entries, size, offset, _ = fields
        wide = self._wide_end(position)
        if disk or first_disk or here != entries:
            raise Invalid("the archive is refused: it is one part of several")
        if wide is None:
            return self._placed(_End(entries, size, offset, position))
        for narrow, value, most in (
            (entries, wide.entries, _WIDE_ENTRIES),
            (size, wide.size, _WIDE),
            (offset, wide.offset, _WIDE),
        ):
            if narrow not in (value, most):
                raise Invalid("the archive is refused: its two end records contradict each other")
        return self._placed(wide)

    def _wide_end(self, position: int) -> _End | None:
        """The ZIP64 record that stands before the end record, if one does."""
        if position < _LOCATOR.size:
            return None
        self._file.seek(position - _LOCATOR.size)
        magic, disk, at, disks = _LOCATOR.unpack(self._exactly(_LOCATOR.size))
        if magic != b"PK\x06\x07":
            return None
        if at + _END64.size + _LOCATOR.size != position:
            raise Damaged("the ZIP archive is damaged: its ZIP64 locator leads nowhere")
        self._file.seek(at)
        end = _END64.unpack(self._exactly(_END64.size))
        if end[0] != b"PK\x06\x06":
            raise Damaged("the ZIP archive is damaged: its ZIP64 locator leads nowhere")
        if disk or disks > 1 or end[4] or end[5] or end[6] != end[7]:
            raise Invalid("the archive is refused: it is one part of several")
        return _End(end[7], end[8], end[9], at)

    def _placed(self, end: _End) -> _End:
        if end.offset + end.size > end.position:
            raise Damaged("the ZIP archive is damaged: its directory lies outside the file")
        if end.offset + end.size < end.position:
            raise Invalid("the archive is refused: something stands before or after its directory")
        return end

    def _directory(self, end: _End) -> Iterator[ZipMember]:
        if end.size > _MAX_DIRECTORY:
            raise TooLarge(f"the archive's directory takes over {_MAX_DIRECTORY >> 20} MiB")
        self._file.seek(end.offset)
        directory = self._exactly(end.size)
        at, tree, total = 0, Tree(), 0
        for _ in range(end.entries):
            member, at = self._entry(directory, at)
            if not member.path:
                continue
            tree.add(member)
            total += member.size
            entry = f"the archive's entry '{member.name[:80]}'"
            self._limits.check_output(member.size, max(member.packed, 1), entry)
            self._limits.check_output(total, self._length)
            yield member
        if at != end.size:
            raise Damaged("the ZIP archive is damaged: its directory has another size than it says")

    def _entry(self, directory: bytes, at: int) -> tuple[ZipMember, int]:
        if at + _CENTRAL.size > len(directory):
            raise Damaged("the ZIP archive is damaged: its directory is cut off")
        (magic, made_by, _, flags, method, _, _, crc, packed, size, names, extras, comments, disk,
         _, attributes, offset) = _CENTRAL.unpack_from(directory, at)  # fmt: skip
        at += _CENTRAL.size
        following = at + names + extras + comments
        if magic != b"PK\x01\x02" or following > len(directory):
            raise Damaged("the ZIP archive is damaged: its directory is cut off")
        raw, extra = directory[at : at + names], directory[at + names : at + names + extras]
        size, packed, offset = _wide_sizes(extra, (size, packed, offset))
        if disk not in (0, 0xFFFF):
            raise Invalid("the archive is refused: it is one part of several")
        path = check_path(raw, "utf-8" if flags & _UTF8 else "cp437", self._limits)
        name = "/".join(path)
        _check_kind(name, made_by >> 8, attributes >> 16)
        if flags & _ENCRYPTED:
            raise Invalid(f"the archive is refused: its entry '{name[:80]}' is encrypted")
        if method not in (_STORED, _DEFLATED):
            raise UnsupportedFormat(
                f"entry '{name[:80]}' of the archive is compressed in a way (ZIP method {method}) "
                "that is not read; write it stored or deflated"
            )
        folder = raw.endswith(b"/")
        if folder and (size or packed):
            raise Invalid(f"the archive is refused: its folder '{name[:80]}' holds bytes")
        if method == _STORED and size != packed:
            raise Damaged(f"the ZIP archive is damaged: '{name[:80]}' has two sizes")
        member = ZipMember(
            path, size, folder, raw_name=raw, flags=flags, method=method, crc=crc, packed=packed,
            offset=offset,
        )  # fmt: skip
        return member, following

    def _check_ranges(self, end: _End) -> None:
        """Entries must lie one after the other, before the directory: overlaps make bombs."""
        reached = 0
        ordered = sorted(self.members, key=lambda member: member.offset)
        if ordered and ordered[0].offset != 0:
            raise Invalid("the archive is refused: something stands before its first entry")
        for member in ordered:
            if member.offset < reached:
                raise Invalid(
                    f"the archive is refused: entry '{member.name[:80]}' overlaps another"
                )
            reached = self._start(member) + member.packed
            if reached > end.offset:
                raise _damaged(member, "reaches into the directory")

    def _start(self, member: ZipMember) -> int:
        """Where the member's bytes begin, behind a local header that agrees with the directory."""
        self._file.seek(member.offset)
        magic, _, flags, method, _, _, crc, packed, size, names, extras = _LOCAL.unpack(
            self._exactly(_LOCAL.size)
        )
        if magic != b"PK\x03\x04":
            raise Damaged(f"the ZIP archive is damaged: '{member.name[:80]}' is not where it says")
        name = self._exactly(names)
        size, packed, _ = _wide_sizes(self._exactly(extras), (size, packed, 0))
        said = (name, method, flags & _ENCRYPTED)
        agreed = said == (member.raw_name, member.method, 0)
        if not flags & _SIZES_FOLLOW:
            agreed &= (crc, packed, size) == (member.crc, member.packed, member.size)
        if not agreed:
            raise Invalid(
                f"the archive is refused: the header of '{member.name[:80]}' contradicts the "
                "directory"
            )
        start: int = member.offset + _LOCAL.size + names + extras
        return start


def _damaged(member: ZipMember, how: str) -> Damaged:
    return Damaged(f"the ZIP archive is damaged: '{member.name[:80]}' {how}")


def _wide_sizes(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Size, packed size and offset, with those that did not fit taken from the ZIP64 field."""
    if _WIDE not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            wide = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            try:
                size, packed, offset = (next(wide) if value == _WIDE else value for value in values)
            except (RuntimeError, StopIteration):
                break
            return size, packed, offset
        at += 4 + length
    raise Damaged("the ZIP archive is damaged: a ZIP64 size is missing")


def _check_kind(name: str, system: int, mode: int) -> None:
    kind = mode & 0o170000
    if system == _UNIX and kind not in (0, 0o100000, 0o040000):
        raise refused_kind(name, _KINDS.get(kind, "of an unknown kind"))
