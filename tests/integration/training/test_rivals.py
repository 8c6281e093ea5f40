"""A version beside the one that an alias points at, on the same held-out rows."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.jobs import JobState
from modelyard.registry.artifact import Format
from modelyard.registry.evaluation import Comparison
from modelyard.registry.model import Reference
from modelyard.training.evaluation.rivals import Rival, write_rivals
from tests.integration.training.room import OURS, Room
from tests.integration.training.tables import bundled, customers, reviews
from tests.integration.training.test_room import run_until_done
from tests.integration.training.test_train import Run


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.store.close()


def add(room: Room, name: str, frame: pl.DataFrame) -> None:
    room.datasets.add(OURS, name, room.upload(frame.write_csv().encode()), f"{name}.csv")


def train(room: Room, **spec: Any) -> tuple[dict[str, Any], tuple[Comparison, ...]]:
    """The job's result, and how its version compares."""
    job = room.jobs.submit(OURS, "train", {"model": "m", "target": "target", "folds": 2, **spec})
    job = run_until_done(room, job.id)
    assert job.state is JobState.SUCCEEDED, job.failure
    assert job.result is not None
    reference = Reference("m", version=job.result["version"])
    return job.result, room.registry.evaluation(OURS, reference).comparisons


def test_the_champion_is_asked_the_same_rows_and_gates_go_by_that(room: Room) -> None:
    add(room, "people", customers())
    good = {"dataset": "people", "algorithm": "logistic_regression"}
    _, none = train(room, **good, alias="champion")
    assert none == ()
    # Other rows are held out by another seed: the cards alone would compare apples with pears.
    gate = "not worse than @champion"
    poor = {**good, "algorithm": "decision_tree", "parameters": {"max_depth": 1}}
    result, (worse,) = train(room, **poor, alias="champion", gates=[gate])
    assert (worse.alias, worse.version, worse.metric, worse.rows) == (
        "champion",
        1,
        "accuracy",
        120,
    )
    assert not worse.seen
    assert worse.difference == pytest.approx(worse.mine - worse.theirs)
    assert worse.difference < 0
    assert worse.interval is not None
    assert worse.interval.low < worse.difference < worse.interval.high
    champion = room.registry.version(OURS, Reference.parse("m@champion"))
    assert champion.number == 1
    assert worse.theirs == champion.card.metrics["accuracy"]
    (objection,) = result["objections"]
    assert objection.startswith(f"{gate}: accuracy is ")
    assert "that of @champion on the same 120 rows is" in objection

    lenient = f"{gate} by more than 0.5"
    result, _ = train(room, **poor, alias="champion", gates=[lenient], seed=1)
    assert result["objections"] == []
    assert room.registry.version(OURS, Reference.parse("m@champion")).number == 3


def beside(folder: Path, champion: Run, frame: pl.DataFrame, **spec: Any) -> Comparison:
    """How a training compares with one before it, its graph left where the task looks for it."""
    folder.mkdir()
    for produced in champion.result.artifacts:
        if produced.format in (Format.ONNX, Format.FEATURES):
            copyfile(champion.folder / produced.name, folder / f"rival.{produced.format}")
    card = champion.result.card
    text = "rival.features" if (folder / "rival.features").exists() else ""
    rival = Rival(
        alias="champion",
        version=1,
        task=card.task,
        target=card.target,
        signature=champion.result.signature,
        graph="rival.onnx",
        features=text,
        split=card.split,
    )
    write_rivals((rival,), folder)
    (compared,) = Run(folder, frame, **spec).result.evaluation.comparisons
    return compared


def test_what_the_champion_may_have_seen_is_said(tmp_path: Path) -> None:
    champion = Run(tmp_path / "a", customers(), algorithm="ridge")
    same = beside(tmp_path / "b", champion, customers(), algorithm="ridge")
    assert (same.difference, same.seen) == (0, False)
    assert beside(tmp_path / "c", champion, customers(), algorithm="ridge", seed=9).seen


@pytest.mark.parametrize("target", ["verdict", "stars"])
def test_text_is_compared_as_it_is_served(tmp_path: Path, target: str) -> None:
    spec = {"target": target, "algorithm": "ridge", "folds": 2}
    champion = Run(tmp_path / "a", reviews(), **spec)
    same = beside(tmp_path / "b", champion, reviews(), **spec)
    assert same.reason == ""
    assert same.difference == pytest.approx(0, abs=1e-6)


def test_a_champion_that_cannot_be_asked_says_why(tmp_path: Path) -> None:
    iris = bundled("iris")
    champion = Run(tmp_path / "a", iris, algorithm="naive_bayes")
    name = "sepal width (cm)"
    lacking = beside(tmp_path / "b", champion, iris.drop(name), algorithm="naive_bayes")
    reason = f"it takes a column '{name}', which the table does not have"
    assert lacking == Comparison("champion", 1, reason=reason)
    words = iris.with_columns(pl.Series(name, ["x", "y"] * 75))
    other = beside(tmp_path / "c", champion, words, algorithm="naive_bayes")
    assert "which holds others now" in other.reason
    codes = {"setosa": 0.5, "versicolor": 1.5, "virginica": 2.7}
    numbers = iris.with_columns(pl.col("target").replace_strict(codes))
    regression = beside(tmp_path / "d", champion, numbers, algorithm="ridge")
    assert regression.reason == "it does classification of 'target'"


def test_numbers_are_compared_too_and_groups_are_drawn_whole(tmp_path: Path) -> None:
    people = customers(number=True).with_columns(who=pl.Series(np.arange(600) // 6))
    champion = Run(tmp_path / "a", people, group_column="who", algorithm="linear")
    found = beside(tmp_path / "b", champion, people, group_column="who", algorithm="elastic_net")
    assert found.metric == "r2"
    assert found.interval is not None
    assert not found.seen
    assert abs(found.difference) < 0.05
