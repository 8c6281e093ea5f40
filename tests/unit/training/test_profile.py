"""What a profile says of a table."""

import msgspec
import numpy as np
import polars as pl
import pytest

from modelyard.training.profile import MAX_ROWS, ColumnProfile, Counted, DataProfile, profile
from tests.integration.training.tables import bundled, customers, reviews


def of(values: object) -> ColumnProfile:
    (column,) = profile(pl.DataFrame({"x": values})).columns
    return column


def test_numbers_have_quantiles_a_histogram_and_outliers() -> None:
    column = of([*range(101), 1000, None, None])
    assert (column.missing, column.distinct, column.outliers) == (2, 102, 1)
    assert column.quantiles["0.5"] == 50
    assert (column.quantiles["0"], column.quantiles["1"]) == (0, 1000)
    assert column.histogram is not None
    assert sum(column.histogram.counts) == 102
    assert column.histogram.counts[0] == 50
    assert len(column.histogram.edges) == 21
    assert column.deviation == pytest.approx(np.std([*range(101), 1000]))


@pytest.mark.parametrize("value", [1_700_000_000_000_000_000, -1e300, 0.0, 7])
def test_one_value_in_every_row_has_a_profile_however_large(value: float) -> None:
    column = of([value] * 3)
    assert column.quantiles["0.5"] == value
    assert (column.histogram is None) == (abs(value) > 1e12)


def test_words_have_their_most_frequent_values_and_lengths() -> None:
    column = of(["yes"] * 3 + ["no"] * 3 + ["perhaps", None])
    assert column.top == (Counted("no", 3), Counted("yes", 3), Counted("perhaps", 1))
    assert (column.lengths["0"], column.lengths["1"]) == (2, 7)
    assert of([True, False, True]).top[0] == Counted("true", 2)
    assert len(of([f"w{place}" for place in range(100)]).top) == 20
    assert len(of(["x" * 5000, "y"]).top[0].value) == 100


def test_times_have_quantiles_as_text() -> None:
    days = pl.datetime_range(
        pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 11), "1d", time_unit="us", eager=True
    )
    assert of(days).quantiles["0.5"] == "2026-01-06T00:00:00"


@pytest.mark.parametrize(
    "values",
    [[], [None], [float("inf")], [1e308, -1e308], [1e16, 1e16 + 2], [5.0], [2**62, -(2**62)]],
)
def test_whatever_numbers_there_are_there_is_a_profile_that_json_can_hold(
    values: list[float],
) -> None:
    frame = pl.DataFrame({"x": values, "y": values}, strict=False)
    found = profile(frame)
    assert msgspec.json.decode(msgspec.json.encode(found), type=DataProfile) == found


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ([None] * 30, "column 'x' has no value in any row"),
        ([7] * 30, "column 'x' has the same value in every row"),
        ([None] * 20 + list(range(5)) * 2, "column 'x' has no value in 67% of the rows"),
        (["a"] * 59 + ["b"], "column 'x' is 'a' in 98.3% of the rows: as a target its classes"),
        ([f"u{place}" for place in range(30)], "column 'x' has a value of its own in nearly every"),
        (list(range(100, 130)), "column 'x' has a value of its own in nearly every row"),
    ],
)
def test_what_could_mislead_is_told(values: list[object], warning: str) -> None:
    found = profile(pl.DataFrame({"x": values, "y": np.arange(len(values)) % 7 + 0.5}))
    assert [one for one in found.warnings if one.startswith(warning)]


def test_rows_that_repeat_are_counted() -> None:
    found = profile(pl.DataFrame({"a": [1, 1, 2], "b": ["x", "x", "x"]}))
    assert found.duplicates == 1
    assert found.warnings[0] == "1 of 3 rows repeat an earlier one"


def test_columns_that_say_the_same_are_named() -> None:
    people = customers().with_columns(
        paid=pl.col("income") * -3 + 7,
        code=pl.col("plan").replace_strict({"basic": 1, "plus": 2, "pro": 3, "née": 4}),
    )
    said = [one for one in profile(people).warnings if "say the same" in one]
    # One row in ten has no income: what is known of both is not enough there.
    assert said == []
    said = [one for one in profile(people.drop_nulls()).warnings if "say the same" in one]
    assert [one.partition(" say")[0] for one in said] == [
        "columns 'income' and 'paid'",
        "columns 'plan' and 'code'",
    ]


@pytest.mark.parametrize("frame", [bundled("iris"), bundled("diabetes"), reviews()])
def test_ordinary_tables_have_few_warnings(frame: pl.DataFrame) -> None:
    found = profile(frame)
    assert len(found.columns) == frame.width
    assert len(found.warnings) <= 2


def test_a_very_long_table_is_sampled() -> None:
    found = profile(pl.DataFrame({"x": np.arange(MAX_ROWS + 5) % 9}))
    assert found.rows == MAX_ROWS
    assert found.warnings[0] == f"a sample of {MAX_ROWS} of {MAX_ROWS + 5} rows was looked at"
