import math
from datetime import datetime

import msgspec
import polars as pl

from modelyard.training.dataset import Column, ColumnType
from modelyard.training.inspection import describe, preview

TABLE = pl.DataFrame(
    {
        "age": [30, None, 50, 30],
        "score": [1.5, 2.5, float("inf"), None],
        "member": [True, False, True, None],
        "note": ["one two three", None, "four", "five"],
        "at": [datetime(2020, 1, 1), datetime(2021, 6, 1), None, None],  # noqa: DTZ001 - all UTC
        "nothing": pl.Series([None] * 4, dtype=pl.String),
    }
)


def test_every_column_is_described_in_order() -> None:
    assert describe(TABLE) == (
        Column("age", ColumnType.INTEGER, 1, 2, 30.0, 50.0, 110 / 3),
        Column("score", ColumnType.NUMBER, 1, 3, 1.5, None, None),
        Column("member", ColumnType.BOOLEAN, 1, 2, mean=2 / 3),
        Column("note", ColumnType.STRING, 1, 3, mean_words=5 / 3),
        Column("at", ColumnType.DATETIME, 2, 2, "2020-01-01T00:00:00", "2021-06-01T00:00:00"),
        Column("nothing", ColumnType.STRING, 4, 0),
    )


def test_a_preview_is_ten_rows_that_json_can_hold() -> None:
    long = pl.DataFrame({"text": ["x" * 500] * 20, "number": [math.inf] * 20})
    rows = preview(long)
    assert len(rows) == 10
    assert rows[0] == {"text": "x" * 199 + "…", "number": None}
    assert msgspec.json.decode(msgspec.json.encode(preview(TABLE)))[0] == {
        "age": 30,
        "score": 1.5,
        "member": True,
        "note": "one two three",
        "at": "2020-01-01T00:00:00",
        "nothing": None,
    }
