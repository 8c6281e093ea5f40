"""Parquet files.

Arrow reads them and not polars, whose reader panics on some damaged files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modelyard.core.errors import first_line
from modelyard.training.recognition import canonical
from modelyard.training.source import Source, check_names, check_size

if TYPE_CHECKING:
    import polars as pl

_EXPECTED: Final = "a column holds numbers, truth values, strings or times"


def read_parquet(source: Source) -> pl.DataFrame:
    """Read the file as a canonical table.

    Raises:
        Invalid: a damaged file, a nested column, or one of a type that no table here has.
        TooLarge: over the bounds, which the file's footer tells before anything is read.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(source.path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise source.invalid(
            f"the Parquet footer cannot be read, the file is cut off or damaged: "
            f"{first_line(error)}"
        ) from None
    with file:
        _check_footer(source, file)
        try:
            table = file.read()
            table.validate(full=True)
            # Made anew, for metadata in a damaged file may be no text.
            bare = pa.Table.from_arrays(table.columns, names=table.column_names)
            frame = pl.DataFrame(bare)
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise source.invalid(f"the Parquet data are damaged: {first_line(error)}") from None
    try:
        return pl.DataFrame([canonical(series) for series in frame.iter_columns()])
    except ValueError as error:
        raise source.invalid(first_line(error)) from None


def _check_footer(source: Source, file: Any) -> None:
    import pyarrow as pa

    try:
        schema = file.schema_arrow
        names = list(schema.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise source.invalid(f"the Parquet schema is damaged: {first_line(error)}") from None
    check_names(source, names)
    check_size(source, file.metadata.num_rows, len(names))
    for field in schema:
        if pa.types.is_nested(field.type):
            raise source.invalid(f"column '{field.name}' is nested ({field.type}); {_EXPECTED}")
        if not _is_plain(field.type):
            raise source.invalid(f"column '{field.name}' holds {field.type}; {_EXPECTED}")


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    tests = (
        types.is_integer,
        types.is_floating,
        types.is_decimal128,
        types.is_boolean,
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_date,
        types.is_timestamp,
        types.is_null,
    )
    return any(test(kind) for test in tests)
