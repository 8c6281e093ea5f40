"""Files in, versions out: the services, the worker and the real tasks together."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import modelyard
from modelyard.core.errors import Invalid, NotFound, TooLarge
from modelyard.core.jobs import Job, JobState
from modelyard.core.pages import PageRequest
from modelyard.registry.artifact import Format
from modelyard.registry.model import Reference
from modelyard.training.dataset import ColumnType, FileFormat
from modelyard.training.importing import ImportOrder
from tests.integration.training.room import OURS, THEIRS, Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.store.close()


def customers(rows: int = 200) -> bytes:
    dice = random.Random(7)
    lines = ["age,income,plan,churned"]
    for _ in range(rows):
        age, income = dice.randint(18, 80), dice.gauss(3000, 900)
        plan = dice.choice(["basic", "plus", "pro"])
        churned = "yes" if age < 40 and plan != "pro" else "no"
        lines.append(f"{age},{income:.2f},{plan},{churned}")
    return "\n".join(lines).encode()


def run_until_done(room: Room, job_id: str, seconds: float = 60) -> Job:
    stop = threading.Event()
    deadline = time.monotonic() + seconds

    def watch() -> None:
        while not room.jobs.get(OURS, job_id).state.final and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    room.worker.run(stop)
    watcher.join()
    return room.jobs.get(OURS, job_id)


def scratch_is_empty(room: Room) -> bool:
    return not list((room.home / "scratch").iterdir())


def test_a_file_becomes_a_dataset(room: Room) -> None:
    data = customers()
    digest = room.upload(data)
    version = room.datasets.add(OURS, "customers", digest, "customers.csv")
    assert (version.number, version.digest, version.size) == (1, digest, len(data))
    assert (version.inspection.format, version.inspection.rows) == (FileFormat.CSV, 200)
    types = {column.name: column.type for column in version.inspection.columns}
    assert types["age"] is ColumnType.INTEGER
    assert types["plan"] is ColumnType.STRING
    assert room.blobs.get(version.table)[:4] == b"PAR1"
    assert room.datasets.version(OURS, "customers") == version
    # The same bytes make no new version, other bytes do.
    assert room.datasets.add(OURS, "customers", digest, "customers.csv") == version
    other = room.upload(customers(150))
    assert room.datasets.add(OURS, "customers", other, "customers.csv").number == 2
    assert scratch_is_empty(room)


def test_a_file_that_cannot_be_read_is_refused_in_its_own_words(room: Room) -> None:
    digest = room.upload(b'{"a": 1}\n{"a": \n')
    with pytest.raises(Invalid, match=r"broken\.jsonl: line 2"):
        room.datasets.add(OURS, "broken", digest, "broken.jsonl")
    with pytest.raises(NotFound):
        room.datasets.get(OURS, "broken")
    assert scratch_is_empty(room)


def test_only_what_the_tenant_uploaded_can_be_named(room: Room) -> None:
    digest = room.upload(customers(), THEIRS)
    with pytest.raises(NotFound):
        room.datasets.add(OURS, "customers", digest, "customers.csv")
    with pytest.raises(NotFound):
        room.imports.import_model(OURS, "churn", ImportOrder(digest, "model.onnx"))


@pytest.mark.parametrize(
    ("name", "upload", "filename"),
    [
        ("Customers!", "a" * 64, "c.csv"),
        ("customers", "../../etc/passwd", "c.csv"),
        ("customers", "a" * 64, "../c.csv"),
        ("customers", "a" * 64, ""),
        ("customers", "a" * 64, "c\n.csv"),
    ],
)
def test_bad_names_are_refused(name: str, upload: str, filename: str, room: Room) -> None:
    with pytest.raises(Invalid):
        room.datasets.add(OURS, name, upload, filename)


def test_reading_a_file_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    room = Room(tmp_path, seconds=0.05)
    try:
        with pytest.raises(TooLarge, match=r"file 'c.csv' could not be read: .* 0.05 s"):
            room.datasets.add(OURS, "customers", room.upload(customers()), "c.csv")
        assert scratch_is_empty(room)
    finally:
        room.store.close()


def test_a_job_makes_a_version_with_its_lineage(room: Room) -> None:
    dataset = room.datasets.add(OURS, "customers", room.upload(customers()), "customers.csv")
    spec: dict[str, Any] = {
        "model": "churn",
        "dataset": "customers",
        "target": "churned",
        "algorithm": "logistic_regression",
        "alias": "champion",
        "seed": 3,
    }
    job = run_until_done(room, room.jobs.submit(OURS, "train", spec).id)
    assert (job.state, job.failure) == (JobState.SUCCEEDED, None)
    assert job.result is not None
    assert (job.result["model"], job.result["version"]) == ("churn", 1)
    version = room.registry.version(OURS, Reference.parse("churn@champion"))
    assert version.number == 1
    assert version.lineage.job_id == job.id
    assert version.lineage.dataset_digest == dataset.digest
    assert (version.lineage.dataset, version.lineage.dataset_version) == ("customers", 1)
    assert (version.lineage.seed, version.lineage.code_version) == (3, modelyard.__version__)
    assert version.served
    for artifact in version.artifacts:
        assert len(room.blobs.get(artifact.digest)) == artifact.size
    assert {a.format for a in version.artifacts} >= {Format.ONNX, Format.JOBLIB}
    assert [event.seq for event in room.jobs.events(OURS, job.id)][:2] == [1, 2]
    assert scratch_is_empty(room)
    # A version that does not pass a gate is registered, and the alias stays where it is.
    gates = ["accuracy > 1", "not worse than @champion"]
    job = run_until_done(room, room.jobs.submit(OURS, "train", {**spec, "gates": gates}).id)
    assert job.result is not None
    assert (job.result["version"], len(job.result["objections"])) == (2, 1)
    assert job.result["objections"][0].startswith("accuracy > 1: accuracy is ")
    assert room.registry.version(OURS, Reference.parse("churn@champion")).number == 1


def test_a_job_that_the_data_refuse_fails_and_says_why(room: Room) -> None:
    room.datasets.add(OURS, "customers", room.upload(customers()), "customers.csv")
    # That the classes are too rare shows only in the rows, so the task has to find it.
    rare = "\n".join(["x,y", *(f"{n},c{n}" for n in range(30))]).encode()
    room.datasets.add(OURS, "rare", room.upload(rare), "rare.csv")
    spec = {"model": "m", "dataset": "rare", "target": "y", "algorithm": "logistic_regression"}
    job = run_until_done(room, room.jobs.submit(OURS, "train", spec).id)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.code == "invalid"
    assert "target 'y'" in job.failure.message
    assert room.registry.models(OURS, PageRequest()).items == []
