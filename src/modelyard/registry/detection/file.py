"""One file: which format it has, or which kind of archive it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Final

from modelyard.core.errors import UnsupportedFormat
from modelyard.registry.archives import Archive, ArchiveLimits, Damaged, TarArchive, ZipArchive
from modelyard.registry.archives.compression import (
    PIECE,
    Compression,
    compression_of,
    decompress,
)
from modelyard.registry.archives.tar_archive import is_tar
from modelyard.registry.artifact import Format
from modelyard.registry.detection.onnx_message import is_onnx
from modelyard.registry.detection.pickle_stream import is_joblib, is_pickle
from modelyard.registry.detection.strangers import OLD_TORCH, SUPPORTED, refusal
from modelyard.registry.detection.zip_kinds import format_of_zip

HEAD: Final = 64 * 1024
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_KERAS: Final = b"model_config"
"""The attribute by which Keras marks a whole model, unlike mere weights."""
_BEGINNINGS: Final = (
    (re.compile(rb"GGUF"), Format.GGUF),
    (re.compile(rb"tree\nversion="), Format.LIGHTGBM),
    (re.compile(rb'\s*\{\s*"upstreams"\s*:'), Format.UPSTREAM),
    (re.compile(rb'\{\s*"(?:learner|version)"\s*:'), Format.XGBOOST),
    # In UBJSON a key follows its length, which has a type of its own.
    (re.compile(rb"\{(?:L.{8}|l.{4}|i.|U.)learner\{", re.DOTALL), Format.XGBOOST),
)
_SAFETENSORS_HEADER: Final = 100 << 20


def find_format(path: Path, limits: ArchiveLimits | None = None) -> Format | Archive:
    """Say what the file is: a format, or an archive of any files.

    Raises:
        UnsupportedFormat: what it is, what is supported, and what to do.
        Damaged: of a known kind, and cut off.
        Invalid: an archive that is refused.
    """
    limits = limits or ArchiveLimits()
    with path.open("rb") as file:
        head = file.read(HEAD)
        if not head:
            raise Damaged("the file is empty")
        if head.startswith(b"PK"):
            archive = ZipArchive(path, limits)
            of_zip = format_of_zip(archive)
            return archive if of_zip is None else of_zip
        if is_tar(head):
            return TarArchive(path, Compression.NONE, limits)
        compression = compression_of(head)
        if compression is not Compression.NONE:
            file.seek(0)
            return _compressed(path, file, compression, limits)
        plain = _plain(file, head)
    if plain is None:
        raise refusal(head)
    return plain


def _plain(file: BinaryIO, head: bytes) -> Format | None:
    """A file that is neither an archive nor compressed."""
    size = file.seek(0, 2)
    if head.startswith(_HDF5):
        return Format.KERAS_H5 if _holds(file, _KERAS) else None
    if _is_safetensors(head, size):
        return Format.SAFETENSORS
    if is_onnx(file, size):
        return Format.ONNX
    if is_pickle(head):
        if head[2:14] == OLD_TORCH:
            return None
        return Format.JOBLIB if is_joblib(head) else Format.PICKLE
    for beginning, format_ in _BEGINNINGS:
        if beginning.match(head):
            return format_
    return None


def _compressed(
    path: Path, file: BinaryIO, compression: Compression, limits: ArchiveLimits
) -> Format | Archive:
    pieces = decompress(file, compression, limits)
    head = b""
    while len(head) < HEAD and (piece := next(pieces, b"")):
        head += piece[:PIECE]
    if is_tar(head):
        return TarArchive(path, compression, limits)
    if is_pickle(head):
        return Format.JOBLIB
    raise UnsupportedFormat(
        f"this file is compressed ({compression}) and holds neither a tar archive nor what joblib "
        "writes: import the model's file uncompressed, or a folder of files as ZIP or tar. "
        f"{SUPPORTED}"
    )


def _holds(file: BinaryIO, word: bytes) -> bool:
    file.seek(0)
    last = b""
    while piece := file.read(1 << 20):
        if word in last + piece:
            return True
        last = piece[-len(word) :]
    return False


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9 or head[8:9] != b"{":
        return False
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= min(_SAFETENSORS_HEADER, size)
