"""Broken data: each ends in an error or a warning that names the problem and the place, and soon.

Files go through the real service and the sandboxed task that reads them, jobs through the worker.
"""

import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid, ModelyardError
from modelyard.core.jobs import JobState
from modelyard.registry.model import Reference
from tests.integration.training.room import OURS, Room
from tests.integration.training.tables import customers
from tests.integration.training.test_room import run_until_done

SOON = 60
"""Seconds, on a busy machine; an ordinary one takes one or two."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("broken"))
    yield room
    room.store.close()


def parquet() -> bytes:
    file = BytesIO()
    customers().write_parquet(file)
    return file.getvalue()


def csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def rows(**columns: Any) -> bytes:
    return csv(pl.DataFrame(columns))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"data\.csv: the file is empty"),
        (b" \n\n ", r"data\.csv: the file holds nothing but white space"),
        (b"a,b\n", r"data\.csv: there is a header but not a single row"),
        ("größe,preis\n1,2\n".encode("latin-1"), r"data\.csv: .*not UTF-8"),
        ("größe,preis\n1,2\n".encode("utf-16"), r"data\.csv: this is text in UTF-16"),
        (parquet()[:-700], r"data\.csv: the Parquet footer cannot be read, the file is cut off"),
        (parquet()[:400] + b"\0" * 900 + parquet()[1300:], r"data\.csv: .*(damaged|footer)"),
        (b"a,b\n1,2\n3\n", r"data\.csv: row 3 has 1 field, the header has 2"),
    ],
    ids=["empty", "blank", "header", "latin-1", "utf-16", "cut off", "overwritten", "ragged"],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(
    room: Room, data: bytes, message: str
) -> None:
    began = time.monotonic()
    with pytest.raises(ModelyardError, match=message):
        room.datasets.add(OURS, "broken", room.upload(data), "data.csv")
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows(x=range(30), y=["only"] * 30), "target 'y' has a single value in all 30 rows"),
        (rows(x=range(30), y=[None] * 30), "target 'y' has a value in 0 rows; at least 10"),
        (rows(x=range(9), y=range(9)), "target 'y' has a value in 9 rows; at least 10"),
        (
            rows(x=np.arange(100_000) % 7, y=[f"class {n}" for n in range(100_000)]),
            "target 'y' has 100000 distinct values; classification takes at most 1000",
        ),
        (
            rows(x=[1] * 30, z=[None] * 30, y=["a", "b"] * 15),
            "no column is left to predict 'y' from: column 'x' was left out: it has the same "
            "value in every row; column 'z' was left out: it has no value in any row",
        ),
    ],
    ids=["one class", "all missing", "few rows", "100,000 classes", "nothing to learn from"],
)
def test_what_cannot_be_learned_is_refused_before_anything_is_queued(
    room: Room, data: bytes, message: str
) -> None:
    room.datasets.add(OURS, "hopeless", room.upload(data), "data.csv")
    with pytest.raises(Invalid, match=message):
        room.jobs.submit(OURS, "train", {"model": "m", "dataset": "hopeless", "target": "y"})


def test_what_can_be_learned_in_spite_of_it_is_with_warnings(room: Room) -> None:
    frame = customers().with_columns(
        constant=pl.lit(3),
        empty=pl.lit(None, pl.Float64),
        mixed=pl.when(pl.int_range(pl.len()) % 50 == 17)
        .then(pl.lit("n/a?"))
        .otherwise((pl.int_range(pl.len()) % 23).cast(pl.String)),
        leaked=pl.col("target").cast(pl.Int64) * 2 + 1,
        nearly=pl.when(pl.int_range(pl.len()) % 200 == 3)
        .then(pl.when("target").then(pl.lit("b")).otherwise(pl.lit("a")))
        .otherwise(pl.when("target").then(pl.lit("a")).otherwise(pl.lit("b"))),
        endless=pl.when(pl.int_range(pl.len()) % 10 == 0)
        .then(float("inf"))
        .otherwise(pl.col("age")),
    )
    room.datasets.add(OURS, "doubtful", room.upload(csv(pl.concat([frame, frame[:20]]))), "d.csv")
    told = room.datasets.profile(OURS, "doubtful").warnings
    spec = {"model": "doubtful", "dataset": "doubtful", "target": "target", "algorithm": "ridge"}
    began = time.monotonic()
    job = run_until_done(room, room.jobs.submit(OURS, "train", spec).id)
    assert job.state is JobState.SUCCEEDED, job.failure
    assert time.monotonic() - began < SOON
    version = room.registry.version(OURS, Reference.parse("doubtful"))
    warned = version.card.warnings
    for warnings, beginning in [
        (told, "20 of 620 rows repeat an earlier one"),
        (told, "column 'constant' has the same value in every row"),
        (told, "column 'empty' has no value in any row"),
        (told, "column 'customer_id' has a value of its own in nearly every row"),
        (told, "column 'mixed' has 607 numbers and 13 other values, the first of them 'n/a?' in r"),
        (told, "columns 'target' and 'leaked' say the same: if one of them is the target"),
        (warned, "20 of 620 rows repeat an earlier one"),
        (warned, "column 'constant' was left out: it has the same value in every row"),
        (warned, "column 'empty' was left out: it has no value in any row"),
        (warned, "column 'leaked' alone tells 'target' in every row"),
        (warned, "column 'nearly' alone tells 'target' in 99."),
    ]:
        assert [one for one in warnings if one.startswith(beginning)], (beginning, warnings)


def test_rows_that_fail_only_when_they_are_learned_from_fail_the_job_and_say_why(
    room: Room,
) -> None:
    # Each class once but for two: that so few rows are left shows in the task alone.
    classes = [f"c{n}" for n in range(300)] + ["d"] * 3
    room.datasets.add(OURS, "rare", room.upload(rows(x=range(303), y=classes)), "rare.csv")
    spec = {"model": "rare", "dataset": "rare", "target": "y"}
    job = run_until_done(room, room.jobs.submit(OURS, "train", spec).id)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.message.startswith(
        "target 'y': 300 of 303 rows have a class that no other row has, and too few are left"
    )
