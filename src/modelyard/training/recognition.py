"""Recognition: from columns of strings, or of any simple type, to canonical columns.

A column takes the narrowest type that *every* value of it has: one word among ten thousand numbers
makes it a column of strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

MISSING: Final = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")
"""What stands for a missing value in a text file, as most tools write it."""

_WHOLE: Final = r"^[+-]?\d+$"
_PADDED: Final = r"^[+-]?0\d"
"""A number with leading zeros is a code (a postcode, an article): zeros would be lost."""
_COMMA: Final = r"^[+-]?\d+(,\d+)?$"
_TIMES: Final = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M:%S",
)
_CALENDAR: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The first and the last microsecond of the years 1 to 9999, from 1970 on."""
_ZONED: Final = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_DATELIKE: Final = r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"


def recognise(strings: pl.Series, *, decimal_comma: bool = False) -> pl.Series:
    """The typed column that these strings spell."""
    strings = _without(strings.str.strip_chars(), MISSING)
    known = strings.drop_nulls()
    if known.is_empty():
        return strings
    lower = known.head(1000).str.to_lowercase()
    if lower.is_in(["true", "false"]).all():
        truth = strings.str.to_lowercase()
        if truth.is_in(["true", "false"]).all():
            return truth == "true"
    number = _number(strings)
    if number is None and decimal_comma and known.str.contains(_COMMA).all():
        number = _number(strings.str.replace(",", ".", literal=True))
    if number is not None:
        return number
    if known.head(1000).str.contains(_DATELIKE).all():
        times = _times(strings)
        if times is not None:
            return times
    return strings


def _number(strings: pl.Series) -> pl.Series | None:
    import polars as pl

    number = strings.cast(pl.Int64, strict=False)
    if number.null_count() == strings.null_count():
        return None if strings.str.contains(_PADDED).any() else number
    number = strings.cast(pl.Float64, strict=False)
    if number.null_count() > strings.null_count():
        return None
    if strings.str.contains(_WHOLE).all():
        # Whole numbers beyond 64 bits are identifiers; a float would merge them.
        return None
    return number.fill_nan(None)


def _times(strings: pl.Series) -> pl.Series | None:
    for pattern in _TIMES:
        times = _parsed(strings, pattern)
        if times is not None:
            return times
    for pattern in _ZONED:
        times = _parsed(strings, pattern)
        if times is not None:
            return times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    # Day and month are told apart only if one order fits and the other does not.
    american, european = _parsed(strings, "%m/%d/%Y"), _parsed(strings, "%d/%m/%Y")
    if american is None:
        return european
    return american if european is None else None


def _parsed(strings: pl.Series, pattern: str) -> pl.Series | None:
    times = strings.str.to_datetime(pattern, time_unit="us", strict=False)
    return times if times.null_count() == strings.null_count() else None


def canonical(series: pl.Series) -> pl.Series:
    """A column of a simple type in its canonical one.

    Raises:
        ValueError: it holds times that no calendar here knows.
    """
    import polars as pl

    kind = series.dtype
    if kind == pl.Boolean:
        return series
    if kind.is_integer():
        whole = series.cast(pl.Int64, strict=False)
        fits = whole.null_count() == series.null_count()
        return whole if fits else series.cast(pl.Float64)
    if kind.is_numeric():
        return series.cast(pl.Float64).fill_nan(None)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if kind.is_temporal():
        times = series.cast(pl.Datetime("us"), strict=False)
        within = times.to_physical().is_between(*_CALENDAR)
        if times.null_count() > series.null_count() or not within.all():
            raise ValueError(f"column '{series.name}' holds times outside the years 1 to 9999")
        return times
    return _without(series.cast(pl.String), ("",))


def _without(strings: pl.Series, missing: Sequence[str]) -> pl.Series:
    import polars as pl

    absent = strings.is_in(missing)
    return strings.to_frame().select(
        pl.when(absent).then(None).otherwise(pl.col(strings.name)).alias(strings.name)
    )[strings.name]
