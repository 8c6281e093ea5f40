"""Tables: CSV, Parquet, JSON Lines, CoNLL and archives of pictures in one canonical form.

What a file is, its content decides. A canonical table has columns of Int64, Float64, Boolean,
String or Datetime (microseconds, UTC); one of pictures is Binary. What is missing is null, never
NaN or an empty string.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from modelyard.core.errors import UnsupportedFormat
from modelyard.training.conll import looks_like_conll, read_conll
from modelyard.training.dataset import FileFormat
from modelyard.training.delimited import is_fraction, read_delimited
from modelyard.training.jsonlines import read_jsonlines
from modelyard.training.parquet import read_parquet
from modelyard.training.picture_archive import read_pictures
from modelyard.training.source import Source

if TYPE_CHECKING:
    import polars as pl

_HEAD: Final = 64 * 1024
_KNOWN: Final[Sequence[tuple[bytes, str]]] = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    (b"SQLite format 3", "an SQLite database: export the table as CSV"),
    (b"\x89HDF", "an HDF5 file: save the table as Parquet"),
    (b"ARROW1", "an Arrow (Feather) file: save it as Parquet"),
    (b"ORC", "an ORC file: save it as Parquet"),
    (b"Obj\x01", "an Avro file: save it as Parquet"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x93NUMPY", "a NumPy array: save the table as Parquet"),
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
)


class Table(msgspec.Struct, frozen=True):
    """A canonical table, the format that it came in, and what was left out of it."""

    format: FileFormat
    frame: pl.DataFrame
    warnings: tuple[str, ...] = ()


def read(path: Path, filename: str, scratch: Path) -> Table:
    """Read the file. `scratch` is a folder for temporary copies.

    Raises:
        UnsupportedFormat: the content is no CSV, Parquet, JSON Lines, CoNLL or archive of pictures;
            the message says what it is, as far as that can be told.
        Invalid: it is damaged or not a plain table; the message names file, row and column.
        TooLarge: more rows, columns or cells than are read.
    """
    source = Source.called(path, filename)
    format_ = detect(source)
    if format_ is FileFormat.PARQUET:
        frame = read_parquet(source)
    elif format_ is FileFormat.IMAGES:
        frame, warnings = read_pictures(source, scratch)
        return Table(format_, frame, warnings)
    elif format_ is FileFormat.JSONL:
        frame = read_jsonlines(source)
    elif format_ is FileFormat.CONLL:
        return Table(format_, *read_conll(source))
    else:
        frame = read_delimited(source, scratch)
        return Table(format_, frame, _doubts(frame.columns))
    return Table(format_, frame)


def _doubts(names: Sequence[str]) -> tuple[str, ...]:
    """What makes a header look like a row. Whole numbers may well be names, such as of pixels."""
    number = next(filter(is_fraction, names), None)
    if number is None:
        return ()
    return (
        f"row 1 is taken for the names of the columns, and '{number}' is a number: if the file has "
        "no header, add one",
    )


def detect(source: Source) -> FileFormat:
    """The format of the file's content. Raises UnsupportedFormat or Invalid."""
    with source.path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise source.invalid("the file is empty")
    if head.startswith(b"PAR1"):
        return FileFormat.PARQUET
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return FileFormat.IMAGES
    for magic, what in _KNOWN:
        if head.startswith(magic):
            raise UnsupportedFormat(f"{source.name}: this is {what}")
    if b"\0" in head:
        raise UnsupportedFormat(
            f"{source.name}: this is a binary file; CSV, Parquet, JSON Lines, CoNLL and ZIP "
            "archives of pictures are read"
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise source.invalid("the file holds nothing but white space")
    if text.startswith(b"{"):
        return FileFormat.JSONL
    if text.startswith((b"[{", b"[\n", b"[\r", b"[ ")):
        raise UnsupportedFormat(
            f"{source.name}: this is one JSON array; write one object per line (JSON Lines)"
        )
    if text[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UnsupportedFormat(f"{source.name}: this is a web page or XML, not a table")
    return FileFormat.CONLL if looks_like_conll(head) else FileFormat.CSV
