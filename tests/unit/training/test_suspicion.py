from collections.abc import Sequence

import polars as pl
import pytest

from modelyard.training.dataset import ColumnType
from modelyard.training.problem import Problem, Role
from modelyard.training.spec import TaskKind
from modelyard.training.suspicion import suspicions

NUMBERS = [float(number) for number in range(40)]
LABELS = ["low"] * 20 + ["high"] * 20


def lines(
    target: Sequence[str] | Sequence[float], feature: Sequence[object], role: Role
) -> tuple[str, ...]:
    words = isinstance(target[0], str)
    problem = Problem(
        TaskKind.CLASSIFICATION if words else TaskKind.REGRESSION,
        "y",
        ColumnType.STRING if words else ColumnType.NUMBER,
        {"x": role},
    )
    return suspicions(pl.DataFrame({"x": feature, "y": target}), problem)


LEAK = ("column 'x' alone tells 'y' in every row: is it known when a prediction is made?",)


@pytest.mark.parametrize(
    ("target", "feature", "role"),
    [
        (LABELS, NUMBERS, Role.NUMBER),
        (LABELS, [-number for number in NUMBERS], Role.NUMBER),
        (NUMBERS, [3 * number - 7 for number in NUMBERS], Role.NUMBER),
    ],
)
def test_a_feature_that_tells_the_target_is_told(
    target: Sequence[str] | Sequence[float], feature: Sequence[object], role: Role
) -> None:
    assert lines(target, feature, role) == LEAK


def test_a_category_that_tells_the_target_is_told() -> None:
    found = lines(LABELS, ["cold"] * 20 + ["hot"] * 20, Role.CATEGORY)
    assert LEAK[0] in found


@pytest.mark.parametrize(
    ("target", "feature", "role"),
    [
        (LABELS, [*NUMBERS[:19], 20.5, *NUMBERS[20:]], Role.NUMBER),
        (LABELS, [None, *NUMBERS[1:]], Role.NUMBER),
        (NUMBERS, [number**2 for number in NUMBERS], Role.NUMBER),
        (LABELS, [f"name {number}" for number in NUMBERS], Role.CATEGORY),
        (LABELS, [f"text {number}" for number in NUMBERS], Role.TEXT),
    ],
)
def test_a_feature_that_only_helps_is_no_leak(
    target: Sequence[str] | Sequence[float], feature: Sequence[object], role: Role
) -> None:
    assert lines(target, feature, role) == ()


def test_repeated_rows_are_counted() -> None:
    found = lines(NUMBERS, [1.0] * 40, Role.NUMBER)
    assert found == ()
    found = lines([1.0, 1.0, *NUMBERS], [5.0, 5.0, *NUMBERS[::-1]], Role.NUMBER)
    assert found[0].startswith("1 of 42 rows repeat an earlier one")


def test_imbalance_is_told() -> None:
    found = lines(["no"] * 39 + ["yes"], [*NUMBERS[:20], 39.5, *NUMBERS[21:]], Role.NUMBER)
    assert found == ("the classes are imbalanced: 39 rows of 'no', 1 of 'yes'",)
