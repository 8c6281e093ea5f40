import numpy as np
import polars as pl
import pytest

from modelyard.training.rows import Array, Rows, folds, hold_out, sample
from modelyard.training.spec import TaskKind

CLASSIFICATION, REGRESSION = TaskKind.CLASSIFICATION, TaskKind.REGRESSION


def rows(target: Array) -> Rows:
    return Rows(pl.DataFrame({"row": np.arange(len(target))}), target)


def numbers(some: Rows) -> list[int]:
    return some.features["row"].to_list()


CLASSES = np.array(["a"] * 80 + ["b"] * 16 + ["c"] * 4, dtype=object)


def test_every_class_keeps_its_share_in_the_held_out_rows() -> None:
    inside, outside = hold_out(rows(CLASSES), CLASSIFICATION, 0.25, seed=3)
    assert sorted(numbers(inside) + numbers(outside)) == list(range(100))
    assert np.unique(outside.target, return_counts=True)[1].tolist() == [20, 4, 1]
    assert all(
        CLASSES[number] == label
        for number, label in zip(numbers(inside), inside.target, strict=True)
    )


def test_more_classes_than_held_out_rows_are_split_all_the_same() -> None:
    target = np.repeat(np.arange(10), 2)
    inside, outside = hold_out(rows(target), CLASSIFICATION, 0.2, seed=0)
    assert (len(inside), len(outside)) == (16, 4)


@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION])
def test_the_same_seed_gives_the_same_rows(task: TaskKind) -> None:
    target = CLASSES if task is CLASSIFICATION else np.linspace(0, 1, 100)
    chosen = [numbers(hold_out(rows(target), task, 0.2, seed)[1]) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    samples = [sample(target, 20, task, seed).tolist() for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]


def test_folds_validate_every_row_once_even_with_a_class_rarer_than_the_folds() -> None:
    seen: list[int] = []
    for inside, outside in folds(rows(CLASSES), CLASSIFICATION, 5, seed=0):
        assert not set(numbers(inside)) & set(numbers(outside))
        seen += numbers(outside)
    assert sorted(seen) == list(range(100))


def test_there_are_no_more_folds_than_rows() -> None:
    assert len(list(folds(rows(np.arange(4.0)), REGRESSION, 20, seed=0))) == 4


def test_a_sample_keeps_the_share_of_each_class_and_two_rows_of_the_rarest() -> None:
    places = sample(CLASSES, 25, CLASSIFICATION, seed=0)
    assert np.unique(CLASSES[places], return_counts=True)[1].tolist() == [20, 4, 2]
    assert places.tolist() == sorted(set(places.tolist()))
