"""Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.training.recognition import canonical, is_plain
from modelyard.training.source import Source, check_names, check_size

if TYPE_CHECKING:
    import polars as pl


def read_parquet(source: Source) -> pl.DataFrame:
    """Read the file as a canonical table.

    Raises:
        Invalid: a damaged file, a nested column, or one of a type that no table here has.
        TooLarge: over the bounds, which the file's footer tells before anything is read.
    """
    import polars as pl

    _check_footer(source)
    try:
        frame = pl.read_parquet(source.path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise source.invalid(f"the Parquet data are damaged: {_first_line(error)}") from None
    columns = []
    for series in frame.iter_columns():
        if not is_plain(series):
            raise source.invalid(f"column '{series.name}' holds {series.dtype}; {_EXPECTED}")
        columns.append(canonical(series))
    return pl.DataFrame(columns)


_EXPECTED = "a column holds numbers, truth values, strings or times"


def _check_footer(source: Source) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(source.path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise source.invalid(
            f"the Parquet footer cannot be read, the file is cut off or damaged: "
            f"{_first_line(error)}"
        ) from None
    check_names(source, schema.names)
    check_size(source, rows, len(schema.names))
    for field in schema:
        if pa.types.is_nested(field.type):
            raise source.invalid(f"column '{field.name}' is nested ({field.type}); {_EXPECTED}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
