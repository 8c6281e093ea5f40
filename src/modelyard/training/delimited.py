"""CSV and its kin: fields separated by commas, semicolons, tabs or bars (RFC 4180).

Every row is checked against the header before the table is read, because a reader in a hurry fills
short rows up in silence.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgspec

from modelyard.core.errors import TooLarge, first_line
from modelyard.training.recognition import recognise
from modelyard.training.source import MAX_COLUMNS, MAX_ROWS, Source, check_names, check_size

if TYPE_CHECKING:
    import polars as pl

SEPARATORS: Final = (",", ";", "\t", "|")
MAX_FIELD: Final = 131_072
"""Characters of one field: the limit of Python's csv module."""

_CHUNK: Final = 4 << 20
_BOM: Final = b"\xef\xbb\xbf"


class Layout(msgspec.Struct, frozen=True):
    """What a look at the file found. `plain`: every line is a row, and no field is quoted."""

    separator: str
    names: tuple[str, ...]
    plain: bool


def read_delimited(source: Source, scratch: Path) -> pl.DataFrame:
    """Read the file as a canonical table.

    Raises:
        Invalid: not UTF-8, a bad header, broken quotes, or a row with more or fewer fields than the
            header; the message names the row (the header is row 1).
        TooLarge: over the bounds.
    """
    import polars as pl

    layout = _layout(source, plain=_survey(source))
    if layout.plain:
        rows, path = _count_plain(source, layout), source.path
    else:
        path = scratch / "canonical.csv"
        rows = _rewrite(source, layout, path)
    check_size(source, rows, len(layout.names))
    try:
        frame = pl.read_csv(
            path,
            separator=layout.separator,
            quote_char=None if layout.plain else '"',
            has_header=False,
            skip_lines=1,
            new_columns=list(layout.names),
            infer_schema=False,
        )
    except pl.exceptions.PolarsError as error:
        raise source.invalid(f"the file cannot be read as CSV: {first_line(error)}") from None
    finally:
        if path != source.path:
            path.unlink()
    if frame.height != rows:
        raise source.invalid(f"{rows} rows were counted but {frame.height} read")
    comma = layout.separator != ","
    return pl.DataFrame([recognise(one, decimal_comma=comma) for one in frame.iter_columns()])


def _survey(source: Source) -> bool:
    """Check that the whole file is UTF-8; return whether it is plain (see `Layout`)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, row, plain, tail = 0, 1, True, b"\n"
    with source.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                # The decoder may have held back the beginning of a character.
                start = error.start - (len(error.object) - len(chunk))
                row += chunk[: max(start, 0)].count(b"\n")
                raise source.invalid(
                    f"row {row} is not UTF-8 (byte 0x{error.object[error.start]:02x} at offset "
                    f"{offset + start}); save the file as UTF-8"
                ) from None
            if b"\0" in chunk:
                row += chunk[: chunk.index(b"\0")].count(b"\n")
                raise source.invalid(f"row {row} holds a zero byte")
            plain = plain and _is_plain(tail + chunk)
            row += chunk.count(b"\n")
            offset += len(chunk)
            tail = chunk[-2:]
    if decoder.getstate()[0]:
        raise source.invalid(f"row {row}: the file is cut off in the middle of a character")
    return plain


def _is_plain(data: bytes) -> bool:
    if b'"' in data or b"\n\n" in data or b"\n\r\n" in data:
        return False
    return b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")


def _layout(source: Source, *, plain: bool) -> Layout:
    with source.path.open(encoding="utf-8-sig", newline="") as file:
        separator = separator_of(file.read(MAX_COLUMNS * 1024))
    with _records(source, separator) as records:
        header = next((fields for _, _, fields in records), [])
    names = tuple(" ".join(name.split()) for name in header)
    check_names(source, names)
    if all(is_fraction(name) for name in names):
        raise source.invalid(
            "row 1 holds numbers where the names of the columns should be: add a header"
        )
    return Layout(separator, names, plain)


def separator_of(head: str) -> str:
    """What splits the header into the most fields: the first record of the text that holds
    anything, which may be on several lines.
    """
    return max(SEPARATORS, key=lambda one: _fields(head, one))


def _fields(head: str, separator: str) -> int:
    records = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    try:
        return len(next((one for one in records if any(map(str.strip, one))), []))
    except csv.Error:
        # A header of many columns is one field, and too long a one, by any other separator.
        return 1


def is_fraction(name: str) -> bool:
    """Whether it is a number, and no whole one."""
    try:
        float(name)
    except ValueError:
        return False
    return any(map(str.isdigit, name)) and not name.lstrip("+-").isdigit()


def _count_plain(source: Source, layout: Layout) -> int:
    """The number of rows of a plain file, each checked."""
    separator, expected = layout.separator.encode(), len(layout.names)
    number = 1
    with source.path.open("rb") as file:
        file.readline()
        for number, line in enumerate(file, 2):
            fields = line.count(separator) + 1
            if fields != expected:
                raise _ragged(source, f"row {number}", fields, expected)
            if len(line) > MAX_FIELD:
                longest = max(len(field) for field in line.decode().split(layout.separator))
                if longest > MAX_FIELD:
                    raise _too_long(source, number)
            if number > MAX_ROWS + 1:
                raise _too_many(source)
    return number - 1


def _rewrite(source: Source, layout: Layout, target: Path) -> int:
    """Write the rows anew with quotes where they are needed and no empty lines; count them."""
    expected = len(layout.names)
    rows = 0
    with (
        _records(source, layout.separator) as records,
        target.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, delimiter=layout.separator, lineterminator="\n")
        next(records)
        file.write("header\n")
        for number, line, fields in records:
            if len(fields) != expected:
                where = f"row {number}" if line == number else f"row {number} (line {line})"
                raise _ragged(source, where, len(fields), expected)
            writer.writerow(fields)
            rows += 1
            if rows > MAX_ROWS:
                raise _too_many(source)
    return rows


@contextmanager
def _records(source: Source, separator: str) -> Iterator[Iterator[tuple[int, int, list[str]]]]:
    """The records of the file: number (the header is 1), the line that each ends on, fields."""
    with source.path.open(encoding="utf-8-sig", newline="") as file:
        yield _read_records(source, file, separator)


def _read_records(
    source: Source, file: IO[str], separator: str
) -> Iterator[tuple[int, int, list[str]]]:
    reader = csv.reader(file, delimiter=separator, strict=True)
    number, line = 0, 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(source, number + 1, line + 1, str(error)) from None
        line = reader.line_num
        if fields:
            number += 1
            yield number, line, fields


def _broken(source: Source, number: int, line: int, reason: str) -> Exception:
    where = f"row {number}" if line == number else f"row {number} (line {line})"
    if "unexpected end" in reason:
        return source.invalid(f"{where}: a quoted field begins here and is never closed")
    if "field larger" in reason:
        return _too_long(source, number)
    if "expected after" in reason:
        return source.invalid(
            f"{where}: text follows a closing quote; a quote inside a quoted field is written twice"
        )
    return source.invalid(f"{where}: {reason}")


def _ragged(source: Source, where: str, fields: int, expected: int) -> Exception:
    noun = "field" if fields == 1 else "fields"
    return source.invalid(f"{where} has {fields} {noun}, the header has {expected}")


def _too_long(source: Source, number: int) -> Exception:
    return TooLarge(f"{source.name}: row {number} has a field of more than {MAX_FIELD} characters")


def _too_many(source: Source) -> Exception:
    return TooLarge(f"{source.name}: more than {MAX_ROWS} rows, which is the most that is read")
