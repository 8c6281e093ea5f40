"""Reading archives that strangers have made: ZIP and tar, checked before a byte is written.

The standard library's readers are not used: those of the Python releases that we run on miss
overlapping entries and ways around the filters. Only regular files and folders are taken.
"""

from __future__ import annotations

from modelyard.registry.archives.extraction import extract
from modelyard.registry.archives.limits import ArchiveLimits, Damaged
from modelyard.registry.archives.member import Archive, Member
from modelyard.registry.archives.packing import pack, pack_files
from modelyard.registry.archives.tar_archive import TarArchive
from modelyard.registry.archives.zip_archive import ZipArchive

__all__ = [
    "Archive",
    "ArchiveLimits",
    "Damaged",
    "Member",
    "TarArchive",
    "ZipArchive",
    "extract",
    "pack",
    "pack_files",
]
