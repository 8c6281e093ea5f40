"""Which rows a slice is of."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.registry.evaluation import Slice
from modelyard.training.evaluation.prediction import estimated
from modelyard.training.evaluation.slices import check_slices, slices


def sliced(values: Any) -> list[Slice]:
    frame = pl.DataFrame({"x": values})
    errors = np.arange(frame.height) * 1.0
    found = estimated(np.zeros(frame.height), errors)
    return list(slices(found, frame, ("mae",), "mae", seed=0))


def test_words_are_sliced_by_their_frequency_and_the_missing_stand_apart() -> None:
    found = sliced(["b", "a", "b", None, "a", "b"])
    assert [(one.value, one.rows, one.metrics["mae"]) for one in found] == [
        ("b", 3, pytest.approx(7 / 3)),
        ("a", 2, 2.5),
        ("(missing)", 1, 3.0),
    ]
    assert found[0].interval is None


def test_rare_words_are_one_slice() -> None:
    found = sliced([f"word {place % 30}" for place in range(300)])
    assert [one.rows for one in found] == [10] * 9 + [210]
    assert found[-1].value == "(others)"
    assert all(one.interval is not None for one in found)


@pytest.mark.parametrize(
    "values",
    [
        list(range(100)),
        [place / 7 for place in range(100)],
        pl.datetime_range(
            pl.datetime(2026, 1, 1), pl.datetime(2026, 4, 10), "1d", time_unit="us", eager=True
        ),
    ],
)
def test_numbers_and_times_are_cut_into_quarters(values: Any) -> None:
    found = sliced(values)
    assert [one.rows for one in found] == [26, 25, 25, 24]
    assert found[0].value.startswith("up to ")
    assert " to " in found[1].value
    assert found[3].value.startswith("over ")


def test_every_row_is_in_one_slice_whatever_the_numbers_are() -> None:
    dice = np.random.default_rng(0)
    for _ in range(30):
        values = dice.choice([0.0, 0.0, 1.5, 2.5, *range(20)], 60).tolist()
        values[3], values[4] = None, float("nan")
        assert sum(one.rows for one in sliced(values)) in (59, 60)


def test_few_numbers_and_truth_values_are_sliced_one_by_one() -> None:
    assert [one.value for one in sliced([1, 2, 2, 3])] == ["2", "1", "3"]
    assert [one.value for one in sliced([True, False, True])] == ["true", "false"]


def test_a_slice_needs_its_column() -> None:
    check_slices(["a"], ["a"])
    with pytest.raises(Invalid, match="there is no column 'b' to slice by; there are: 'a'"):
        check_slices(["a"], ["a", "b"])
