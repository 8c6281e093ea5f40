"""Which rows are held out, and which fold a row is in."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.training.inspection import describe
from modelyard.training.rows import Array, Rows
from modelyard.training.spec import TaskKind, TrainSpec
from modelyard.training.split import (
    GROUP,
    RATIO,
    TIME,
    Division,
    Held,
    divisible,
    division_of,
    folds,
    hold_out,
    with_keys,
)

CLASSIFICATION, REGRESSION = TaskKind.CLASSIFICATION, TaskKind.REGRESSION
CLASSES = np.array(["a"] * 80 + ["b"] * 16 + ["c"] * 4, dtype=object)


def rows(target: Array, **keys: Array) -> Rows:
    return Rows(pl.DataFrame({"row": np.arange(len(target))}), target, **keys)


def numbers(some: Rows) -> list[int]:
    return some.features["row"].to_list()


def ratio(some: Rows, task: TaskKind, fraction: float, seed: int = 0) -> Held:
    return hold_out(some, task, Division(RATIO, "", fraction, seed))


def test_every_class_keeps_its_share_in_the_held_out_rows() -> None:
    held = ratio(rows(CLASSES), CLASSIFICATION, 0.25, seed=3)
    assert sorted(numbers(held.inside) + numbers(held.outside)) == list(range(100))
    assert np.unique(held.outside.target, return_counts=True)[1].tolist() == [20, 4, 1]
    assert held.places.tolist() == numbers(held.outside)
    split = held.split
    assert (split.method, split.train_rows, split.test_rows) == ("ratio", 75, 25)
    assert split.stratified
    assert split.seed == 3


def test_more_classes_than_held_out_rows_are_split_all_the_same() -> None:
    held = ratio(rows(np.repeat(np.arange(10), 2)), CLASSIFICATION, 0.2)
    assert (len(held.inside), len(held.outside)) == (16, 4)
    assert not held.split.stratified


@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION])
@pytest.mark.parametrize("method", [RATIO, GROUP])
def test_the_same_seed_gives_the_same_rows(task: TaskKind, method: str) -> None:
    target = CLASSES if task is CLASSIFICATION else np.linspace(0, 1, 100)
    some = rows(target, groups=np.arange(100) // 2) if method == GROUP else rows(target)
    chosen = [
        numbers(hold_out(some, task, Division(method, "", 0.2, seed)).outside) for seed in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_what_is_held_out_by_time_is_later_than_all_that_is_trained_on() -> None:
    times = np.random.default_rng(0).permutation(np.repeat(np.arange(25), 4))
    held = hold_out(rows(np.zeros(100), times=times), REGRESSION, Division(TIME, "day", 0.21, 0))
    assert held.inside.times is not None
    assert held.outside.times is not None
    # A fifth and one row more would begin within the rows of one time: these stay together.
    assert (held.inside.times.max(), held.outside.times.min()) == (18, 19)
    assert (held.split.boundary, held.split.test_rows, held.split.column) == ("19", 24, "day")


def test_times_that_are_nearly_all_the_same_are_split_where_they_can_be() -> None:
    times = np.array([1] * 95 + [2] * 5)
    held = hold_out(rows(np.zeros(100), times=times), REGRESSION, Division(TIME, "day", 0.5, 0))
    assert held.split.test_rows == 5
    same = rows(np.zeros(9), times=np.ones(9))
    with pytest.raises(Invalid, match="time column 'day' has a single value"):
        hold_out(same, REGRESSION, Division(TIME, "day", 0.5, 0))


def test_a_boundary_before_which_there_is_one_class_is_refused() -> None:
    target = np.array(["no"] * 80 + ["yes"] * 20, dtype=object)
    division = Division(TIME, "day", 0.2, 0)
    with pytest.raises(Invalid, match=r"before 80 all rows are of class 'no'"):
        hold_out(rows(target, times=np.arange(100)), CLASSIFICATION, division)


@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION])
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_no_group_is_on_both_sides(task: TaskKind, fraction: float) -> None:
    dice = np.random.default_rng(1)
    groups = dice.integers(0, 40, 500)
    target = dice.choice(["a", "b", "c"], 500, p=[0.6, 0.3, 0.1]).astype(object)
    some = rows(target if task is CLASSIFICATION else np.arange(500.0), groups=groups)
    held = hold_out(some, task, Division(GROUP, "patient", fraction, 7))
    inside, outside = held.inside.groups, held.outside.groups
    assert inside is not None
    assert outside is not None
    assert not set(inside) & set(outside)
    assert abs(len(held.outside) / 500 - fraction) < 0.06
    assert held.split.train_groups + held.split.test_groups == 40
    if task is CLASSIFICATION and fraction >= 0.2:
        shares = np.unique(held.outside.target, return_counts=True)[1] / len(held.outside)
        assert np.abs(shares - [0.6, 0.3, 0.1]).max() < 0.08


def test_two_groups_are_one_for_each_side() -> None:
    held = hold_out(
        rows(np.arange(10.0), groups=np.repeat([0, 1], 5)), REGRESSION, Division(GROUP, "g", 0.2, 0)
    )
    assert (held.split.train_rows, held.split.test_rows) == (5, 5)


def test_folds_validate_every_row_once_even_with_a_class_rarer_than_the_folds() -> None:
    seen: list[int] = []
    for inside, outside in folds(rows(CLASSES), CLASSIFICATION, 5, seed=0):
        assert not set(numbers(inside)) & set(numbers(outside))
        seen += numbers(outside)
    assert sorted(seen) == list(range(100))


def test_classes_of_one_row_each_cannot_be_folded() -> None:
    with pytest.raises(Invalid, match="no class has two of the rows to train on"):
        list(folds(rows(np.array(["a", "b", "c"])), CLASSIFICATION, 2, seed=0))


def test_there_are_no_more_folds_than_rows_or_groups() -> None:
    assert len(list(folds(rows(np.arange(4.0)), REGRESSION, 20, seed=0))) == 4
    grouped = rows(np.arange(9.0), groups=np.repeat([4, 5, 6], 3))
    assert len(list(folds(grouped, REGRESSION, 20, seed=0))) == 3
    with pytest.raises(Invalid, match="of a single group"):
        list(folds(rows(np.arange(9.0), groups=np.zeros(9)), REGRESSION, 5, seed=0))


@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION])
def test_folds_keep_groups_together(task: TaskKind) -> None:
    groups = np.random.default_rng(0).integers(0, 12, 100)
    target = CLASSES if task is CLASSIFICATION else np.arange(100.0)
    for inside, outside in folds(rows(target, groups=groups), task, 4, seed=0):
        assert inside.groups is not None
        assert outside.groups is not None
        assert not set(inside.groups) & set(outside.groups)


def test_each_fold_by_time_is_validated_on_what_comes_next() -> None:
    times = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 4))
    ends = []
    for inside, outside in folds(rows(np.zeros(120), times=times), REGRESSION, 4, seed=0):
        assert inside.times is not None
        assert outside.times is not None
        assert inside.times.max() < outside.times.min()
        ends.append(len(inside))
    assert ends == [24, 48, 72, 96]


def test_folds_by_time_that_begin_with_one_class_are_passed_over() -> None:
    target = np.array(["no"] * 50 + ["no", "yes"] * 25, dtype=object)
    found = list(folds(rows(target, times=np.arange(100)), CLASSIFICATION, 4, seed=0))
    assert [len(inside) for inside, _ in found] == [60, 80]
    late = rows(np.array(["no"] * 99 + ["yes"], dtype=object), times=np.arange(100))
    with pytest.raises(Invalid, match="cannot be folded by time"):
        list(folds(late, CLASSIFICATION, 4, seed=0))


DAYS = [np.datetime64(day, "us") for day in ("2026-01-02", "2026-01-01", "NaT", "2026-01-03")]
TABLE = pl.DataFrame(
    {
        "day": np.array(DAYS),
        "who": ["b", None, "a", "b"],
        "same": [1, 1, 1, 1],
        "y": [1.0, 2.0, 3.0, 4.0],
    }
)


def asked(**fields: Any) -> Division:
    return division_of(TrainSpec("table.parquet", target="y", **fields), describe(TABLE))


def test_a_specification_names_how_rows_are_held_out() -> None:
    assert asked() == Division("ratio", "", 0.2, 0)
    assert asked(time_column="day", test_fraction=0.3) == Division("time", "day", 0.3, 0)
    assert asked(group_column="who", seed=5) == Division("group", "who", 0.2, 5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"time_column": "day", "group_column": "who"}, "name one of them"),
        ({"time_column": "hour"}, "there is no column 'hour' to split by time; there are: 'day'"),
        ({"group_column": "y"}, "the target 'y' cannot be the group column"),
        ({"time_column": "who"}, "time column 'who' holds strings; times, dates or numbers"),
        ({"group_column": "same"}, "group column 'same' has a single value"),
    ],
)
def test_a_column_that_is_not_fit_to_split_by_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        asked(**fields)


def test_rows_without_a_time_or_a_group_are_left_out_and_told_of() -> None:
    by_day, by_who = asked(time_column="day"), asked(group_column="who")
    table, notes = divisible(TABLE, by_day)
    assert notes == ("1 rows have no 'day' to split by and were left out",)
    some = with_keys(rows(table["y"].to_numpy()), table, by_day)
    held = hold_out(some, REGRESSION, by_day)
    assert held.split.boundary == "2026-01-03"
    table, _ = divisible(TABLE, by_who)
    groups = with_keys(rows(table["y"].to_numpy()), table, by_who).groups
    assert groups is not None
    assert groups.tolist() == [1, 0, 1]
    assert divisible(TABLE, asked()) == (TABLE, ())
