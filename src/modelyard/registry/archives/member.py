"""What an archive holds, and the paths that are taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from modelyard.core.errors import Invalid
from modelyard.registry.archives.limits import ArchiveLimits

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_SHOWN: Final = 80


class Member(msgspec.Struct, frozen=True):
    """A regular file or a folder of an archive. `path` is checked; `size` is in bytes."""

    path: tuple[str, ...]
    size: int
    folder: bool = False

    @property
    def name(self) -> str:
        """The path, with slashes."""
        return "/".join(self.path)


class Archive(Protocol):
    """A file that holds files."""

    def walk(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Each member and its bytes, which must be read to the end before the next member.

        Raises:
            Invalid: it holds something that is not taken; the message names it.
            Damaged: it is cut off or its bytes have changed.
            TooLarge: over the limits.
        """
        ...


def check_path(raw: bytes, encoding: str, limits: ArchiveLimits) -> tuple[str, ...]:
    """The parts of an entry's path, which leads nowhere but beneath the folder that holds it.

    A slash at the end is dropped. An empty tuple is the folder itself.

    Raises:
        Invalid: an absolute path, `..`, a drive, a device's name, or characters that no path
            should have.
        TooLarge: too long or too deep.
    """
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise _refused(repr(raw[:_SHOWN]), f"is not {encoding}") from None
    if any(character < " " or character == "\x7f" for character in text):
        raise _refused(repr(text[:_SHOWN]), "holds a control character")
    shown = f"'{text[:_SHOWN]}'"
    if "\\" in text:
        raise _refused(shown, "holds a backslash")
    if text.startswith("/") or _DRIVE.match(text):
        raise _refused(shown, "is absolute")
    parts = text.removesuffix("/").split("/")
    while parts and parts[0] == ".":
        # As `tar -c .` writes it.
        del parts[0]
    for part in parts:
        if part in ("", ".", ".."):
            raise _refused(shown, f"has the part '{part}'")
        if _DEVICE.fullmatch(part):
            raise _refused(shown, "is the name of a device")
        if len(part.encode()) > limits.name_bytes:
            raise _refused(shown, f"has a part of over {limits.name_bytes} bytes")
    if len(parts) > limits.depth:
        raise _refused(shown, f"lies more than {limits.depth} folders deep")
    return tuple(parts)


class Tree:
    """The members so far: no path may come twice, and no file may be another's folder."""

    def __init__(self) -> None:
        self._files: set[tuple[str, ...]] = set()
        self._folders: set[tuple[str, ...]] = set()

    def add(self, member: Member) -> None:
        """Raises Invalid."""
        above = [member.path[:depth] for depth in range(1, len(member.path))]
        taken = member.path in self._files or (not member.folder and member.path in self._folders)
        if taken or any(path in self._files for path in above):
            raise _refused(f"'{member.name[:_SHOWN]}'", "is there twice")
        self._folders.update(above)
        (self._folders if member.folder else self._files).add(member.path)


def refused_kind(name: str, kind: str) -> Invalid:
    """The error for an entry that is neither a regular file nor a folder."""
    return _refused(f"'{name[:_SHOWN]}'", f"is {kind}; archives may hold regular files and folders")


def _refused(shown: str, why: str) -> Invalid:
    return Invalid(f"the archive is refused: its entry {shown} {why}")
