"""JSON Lines: one object per line, its values plain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.core.errors import TooLarge
from modelyard.training.recognition import canonical, recognise
from modelyard.training.source import MAX_COLUMNS, MAX_ROWS, Source, check_names, check_size

if TYPE_CHECKING:
    import polars as pl

_CHUNK: Final = 20_000
_INT64: Final = 2**63


def read_jsonlines(source: Source) -> pl.DataFrame:
    """Read the file as a canonical table. A key that a line lacks is a missing value.

    It is read twice: first to learn the columns and the types of their values, then for the values.

    Raises:
        Invalid: a line that is no JSON object, or a nested value; the message names both line
            and key.
        TooLarge: over the bounds.
    """
    import polars as pl

    kinds, rows = _survey(source)
    names = list(kinds)
    check_names(source, names)
    check_size(source, rows, len(names))
    schema = {name: _dtype(kinds[name]) for name in names}
    lines = _objects(source)
    chunks = []
    while block := list(islice(lines, _CHUNK)):
        chunks.append(
            pl.DataFrame(
                [
                    pl.Series(name, [_as(row.get(name), dtype) for _, row in block], dtype)
                    for name, dtype in schema.items()
                ]
            )
        )
    frame = pl.concat(chunks)
    return pl.DataFrame([_typed(series, kinds[series.name]) for series in frame.iter_columns()])


def _survey(source: Source) -> tuple[dict[str, set[type]], int]:
    """The types seen in each column, in the order of first sight, and the number of rows."""
    kinds: dict[str, set[type]] = {}
    rows = 0
    for number, row in _objects(source):
        rows += 1
        for name, value in row.items():
            kind = type(value)
            if kind is dict or kind is list:
                what = "an object" if kind is dict else "an array"
                raise source.invalid(
                    f"line {number}: '{name[:80]}' holds {what}; values must be plain, or "
                    "lists of words without spaces"
                )
            if kind is int and not -_INT64 <= value < _INT64:
                kind = float
            kinds.setdefault(name, set()).add(kind)
        if len(kinds) > MAX_COLUMNS:
            raise TooLarge(f"{source.name}: more than {MAX_COLUMNS} different keys")
        if rows > MAX_ROWS:
            raise TooLarge(f"{source.name}: more than {MAX_ROWS} rows")
    if not rows or not kinds:
        raise source.invalid("there is not a single object with a key")
    return kinds, rows


def _objects(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in source.lines():
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.isspace() or not text:
            continue
        try:
            yield number, _joined(decoder.decode(text))
        except UnicodeDecodeError:
            raise source.invalid(f"line {number} is not UTF-8") from None
        except RecursionError:
            raise source.invalid(f"line {number} is nested too deeply") from None
        except msgspec.DecodeError as error:
            raise source.invalid(f"line {number} is not a JSON object: {error}") from None


def _joined(row: dict[str, Any]) -> dict[str, Any]:
    """Lists of words (tokens, and their tags) as one string each, with spaces between."""
    return {
        name: " ".join(value) if type(value) is list and _words(value) else value
        for name, value in row.items()
    }


def _words(values: list[Any]) -> bool:
    return bool(values) and all(
        type(one) is str and one and not any(letter.isspace() for letter in one) for one in values
    )


def _dtype(kinds: set[type]) -> pl.DataType:
    import polars as pl

    known = kinds - {type(None)}
    if known == {bool}:
        return pl.Boolean()
    if known == {int}:
        return pl.Int64()
    if known and known <= {int, float}:
        return pl.Float64()
    return pl.String()


def _as(value: Any, dtype: pl.DataType) -> Any:
    import polars as pl

    if value is None:
        return None
    if dtype == pl.Float64:
        return float(value)
    if dtype == pl.String and not isinstance(value, str):
        # As JSON writes it: true, 1.5
        return msgspec.json.encode(value).decode()
    return value


def _typed(series: pl.Series, kinds: set[type]) -> pl.Series:
    """Strings are searched for times only: a number in quotes was meant as a string."""
    import polars as pl

    if series.dtype == pl.String and kinds <= {str, type(None)}:
        recognised = recognise(series)
        if isinstance(recognised.dtype, pl.Datetime):
            return recognised
    return canonical(series)
