"""Inspection: what the columns of a table hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.training.dataset import Column, ColumnType
from modelyard.training.pixels import picture_of, told_picture
from modelyard.training.splitting import words_of

if TYPE_CHECKING:
    import polars as pl

PREVIEW_ROWS: Final = 10
PREVIEW_CHARACTERS: Final = 200


def describe(frame: pl.DataFrame) -> tuple[Column, ...]:
    """Each column of a canonical table (see `table.py`), in order."""
    return tuple(_column(series) for series in frame.iter_columns())


def column_type(dtype: pl.DataType) -> ColumnType:
    """The type of a column of a canonical table."""
    import polars as pl

    if dtype == pl.Boolean:
        return ColumnType.BOOLEAN
    if dtype.is_integer():
        return ColumnType.INTEGER
    if dtype.is_float():
        return ColumnType.NUMBER
    if dtype.is_temporal():
        return ColumnType.DATETIME
    if dtype == pl.Binary:
        return ColumnType.IMAGE
    return ColumnType.STRING


def _column(series: pl.Series) -> Column:
    kind = column_type(series.dtype)
    known = series.drop_nulls()
    missing, distinct = len(series) - len(known), known.n_unique()
    column = Column(name=series.name, type=kind, missing=missing, distinct=distinct)
    if known.is_empty():
        return column
    if kind is ColumnType.STRING:
        return _with(column, mean_words=_finite(words_of(known)))
    if kind is ColumnType.IMAGE:
        return _with(column, picture=picture_of(known))
    if kind is ColumnType.BOOLEAN:
        return _with(column, mean=_finite(known.mean()))
    if kind is ColumnType.DATETIME:
        return _with(column, minimum=_text(known.min()), maximum=_text(known.max()))
    return _with(
        column,
        minimum=_finite(known.min()),
        maximum=_finite(known.max()),
        mean=_finite(known.mean()),
    )


def _with(column: Column, **fields: Any) -> Column:
    return msgspec.structs.replace(column, **fields)


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return str(value.isoformat())


def preview(frame: pl.DataFrame) -> tuple[dict[str, Any], ...]:
    """The first rows, each value one that JSON can hold; long strings are cut."""
    return tuple(
        {name: _shown(value) for name, value in row.items()}
        for row in frame.head(PREVIEW_ROWS).to_dicts()
    )


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return told_picture(value)
    if isinstance(value, str):
        return value if len(value) <= PREVIEW_CHARACTERS else value[: PREVIEW_CHARACTERS - 1] + "…"
    return value if value is None or isinstance(value, bool | int) else _text(value)
