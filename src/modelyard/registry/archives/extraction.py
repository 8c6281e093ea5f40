"""Unpacking beneath a folder's handle: no link and no renamed folder can lead elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from modelyard.registry.archives.member import Archive, Member

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract(archive: Archive, folder: Path) -> list[Member]:
    """Unpack into `folder`, which is made; return the regular files.

    The archive is read twice, the first time only to check it: one that is refused leaves nothing.

    Raises:
        Invalid, Damaged, TooLarge: as the archive says; there is no folder then.
    """
    for _, content in archive.walk():
        for _ in content:
            pass
    folder.mkdir(mode=0o700)
    try:
        return _write(archive, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(archive: Archive, folder: Path) -> list[Member]:
    files = []
    root = os.open(folder, _FOLDER)
    try:
        for member, content in archive.walk():
            if member.folder:
                os.close(_enter(root, member.path))
            else:
                _write_file(root, member, content)
                files.append(member)
    finally:
        os.close(root)
    return files


def _write_file(root: int, member: Member, content: Iterator[bytes]) -> None:
    above = _enter(root, member.path[:-1])
    try:
        descriptor = os.open(member.path[-1], _FILE, 0o600, dir_fd=above)
    finally:
        os.close(above)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(content)


def _enter(root: int, path: tuple[str, ...]) -> int:
    """A handle of the folder at `path`, whose missing parts are made."""
    here = os.dup(root)
    for part in path:
        try:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=here)
            below = os.open(part, _FOLDER, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here
