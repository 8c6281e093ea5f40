import numpy as np
import polars as pl
import pytest

from modelyard.training.rows import Rows, sample
from modelyard.training.spec import TaskKind

CLASSES = np.array(["a"] * 80 + ["b"] * 16 + ["c"] * 4, dtype=object)


@pytest.mark.parametrize("task", [TaskKind.CLASSIFICATION, TaskKind.REGRESSION])
def test_the_same_seed_gives_the_same_sample(task: TaskKind) -> None:
    target = CLASSES if task is TaskKind.CLASSIFICATION else np.linspace(0, 1, 100)
    samples = [sample(target, 20, task, seed).tolist() for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]


def test_a_sample_keeps_the_share_of_each_class_and_two_rows_of_the_rarest() -> None:
    places = sample(CLASSES, 25, TaskKind.CLASSIFICATION, seed=0)
    assert np.unique(CLASSES[places], return_counts=True)[1].tolist() == [20, 4, 2]
    assert places.tolist() == sorted(set(places.tolist()))


def test_rows_take_their_times_and_groups_along() -> None:
    frame = pl.DataFrame({"row": [0, 1, 2]})
    rows = Rows(frame, np.arange(3.0), np.array([5, 6, 7]), np.array([0, 0, 1]))
    taken = rows.take(np.array([2, 0]))
    assert taken.features["row"].to_list() == [2, 0]
    assert taken.times is not None
    assert taken.times.tolist() == [7, 5]
    assert taken.groups is not None
    assert taken.groups.tolist() == [1, 0]
