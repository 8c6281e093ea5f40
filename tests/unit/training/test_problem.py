from typing import Any

import pytest

from modelyard.core.errors import Invalid
from modelyard.training.dataset import Column, ColumnType
from modelyard.training.problem import Problem, Role, define
from modelyard.training.spec import TaskKind, TrainSpec

ROWS = 200


def column(
    name: str,
    kind: ColumnType = ColumnType.NUMBER,
    distinct: int = 100,
    missing: int = 0,
    words: float | None = None,
) -> Column:
    return Column(name, kind, missing, distinct, mean_words=words)


def defined(*columns: Column, rows: int = ROWS, **spec: Any) -> Problem:
    spec = {"table": "table.parquet", "target": "y", **spec}
    return define((*columns, column("x")), rows, TrainSpec(**spec))


@pytest.mark.parametrize(
    ("kind", "distinct", "task"),
    [
        (ColumnType.STRING, 3, TaskKind.CLASSIFICATION),
        (ColumnType.BOOLEAN, 2, TaskKind.CLASSIFICATION),
        (ColumnType.INTEGER, 20, TaskKind.CLASSIFICATION),
        (ColumnType.INTEGER, 21, TaskKind.REGRESSION),
        (ColumnType.NUMBER, 3, TaskKind.REGRESSION),
    ],
)
def test_the_task_follows_from_the_target(kind: ColumnType, distinct: int, task: TaskKind) -> None:
    problem = defined(column("y", kind, distinct))
    assert problem.task is task
    assert problem.notes[0].startswith(f"{task}, because 'y' holds")


def test_the_task_may_be_asked_for() -> None:
    y = column("y", ColumnType.INTEGER, 3)
    assert defined(y, task=TaskKind.REGRESSION).task is TaskKind.REGRESSION


@pytest.mark.parametrize(
    ("candidate", "role"),
    [
        (column("a", ColumnType.INTEGER), Role.NUMBER),
        (column("a", ColumnType.BOOLEAN, 2), Role.NUMBER),
        (column("a", ColumnType.STRING, 5, words=1.0), Role.CATEGORY),
        (column("a", ColumnType.STRING, 5, words=4.0), Role.CATEGORY),
        (column("a", ColumnType.STRING, 190, words=9.0), Role.TEXT),
        (column("a", ColumnType.STRING, 90, missing=100, words=9.0), Role.TEXT),
        (column("a", ColumnType.STRING, 90, words=1.2), Role.CATEGORY),
    ],
)
def test_the_role_follows_from_the_column(candidate: Column, role: Role) -> None:
    assert defined(column("y"), candidate).features["a"] is role


@pytest.mark.parametrize(
    ("unfit", "reason"),
    [
        (column("a", distinct=0, missing=ROWS), "it has no value in any row"),
        (column("a", distinct=1), "it has the same value in every row"),
        (column("customer_id", ColumnType.INTEGER, ROWS), "it looks like an identifier"),
        (column("name", ColumnType.STRING, 199, words=1.0), "it looks like an identifier"),
    ],
)
def test_a_column_that_is_left_out_is_told(unfit: Column, reason: str) -> None:
    problem = defined(column("y"), unfit)
    assert list(problem.features) == ["x"]
    assert problem.warnings[0].startswith(f"column '{unfit.name}' was left out: {reason}")


def test_a_value_in_half_of_the_rows_is_information() -> None:
    assert "a" in defined(column("y"), column("a", distinct=1, missing=100)).features


def test_columns_that_were_chosen_stay_even_if_they_look_like_identifiers() -> None:
    key = column("id", ColumnType.INTEGER, ROWS)
    assert list(defined(column("y"), key, include=("id",)).features) == ["id"]


def test_columns_may_be_excluded() -> None:
    assert list(defined(column("y"), column("a"), exclude=("a",)).features) == ["x"]


def test_rows_without_a_target_are_told() -> None:
    problem = defined(column("y", missing=7))
    assert problem.warnings == ("7 rows have no 'y' and were left out",)


@pytest.mark.parametrize(
    ("target", "spec", "message"),
    [
        (column("z"), {}, "there is no target column 'y'; the columns are 'z', 'x'"),
        (column("y", distinct=1), {}, "'y' has a single value in all 200 rows"),
        (column("y", missing=195), {}, "'y' has a value in 5 rows; at least 10 are needed"),
        (column("y", ColumnType.DATETIME), {}, "target 'y' holds times"),
        (column("y", ColumnType.STRING), {"task": TaskKind.REGRESSION}, "regression needs numbers"),
        (column("y", ColumnType.STRING, 1001), {}, "has 1001 distinct values"),
        (column("y"), {"include": ("nope",)}, "there is no column 'nope'; the columns are"),
        (column("y"), {"include": ("x", "y")}, "the target 'y' cannot be a feature as well"),
        (column("y"), {"exclude": ("x",)}, "no column is left to predict 'y' from"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    target: Column, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        defined(target, **spec)


def test_many_columns_are_not_all_listed() -> None:
    others = [column(f"c{number}") for number in range(30)]
    with pytest.raises(Invalid, match=r"'c19' and 11 more$"):
        defined(*others)
