"""Checkpoints outlive the scratch folders that they are written in, and no job."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.core.jobs import Job
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.watch import CHECKPOINT_FILE

JOB = Job("job_1", "tnt_a", "train", {}, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def scratch(tmp_path: Path, name: str, content: str = "") -> Path:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    if content:
        (folder / "new").write_text(content)
        (folder / "new").replace(folder / CHECKPOINT_FILE)
    return folder


def test_the_next_attempt_finds_what_the_last_had_written(
    tmp_path: Path, checkpoints: Checkpoints
) -> None:
    first = scratch(tmp_path, "first", "epoch 1")
    checkpoints.keep(JOB, first)
    scratch(tmp_path, "first", "epoch 2")
    checkpoints.keep(JOB, first)
    checkpoints.keep(JOB, first)
    (first / CHECKPOINT_FILE).unlink()
    second = scratch(tmp_path, "second")
    checkpoints.put_back(JOB, second)
    assert (second / CHECKPOINT_FILE).read_text() == "epoch 2"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["tnt_a.job_1.pt"]


def test_writing_on_does_not_change_what_is_kept(tmp_path: Path, checkpoints: Checkpoints) -> None:
    checkpoints.keep(JOB, scratch(tmp_path, "first", "epoch 1"))
    second = scratch(tmp_path, "second")
    checkpoints.put_back(JOB, second)
    scratch(tmp_path, "second", "epoch 2")
    assert (tmp_path / "checkpoints/tnt_a.job_1.pt").read_text() == "epoch 1"
    checkpoints.keep(JOB, second)
    assert (tmp_path / "checkpoints/tnt_a.job_1.pt").read_text() == "epoch 2"


def test_a_job_without_one_begins_anew(tmp_path: Path, checkpoints: Checkpoints) -> None:
    folder = scratch(tmp_path, "first")
    checkpoints.keep(JOB, folder)
    checkpoints.put_back(JOB, folder)
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "checkpoints").exists()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, checkpoints: Checkpoints) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the server")
    folder = scratch(tmp_path, "first")
    (folder / CHECKPOINT_FILE).symlink_to(secret)
    checkpoints.keep(JOB, folder)
    assert not (tmp_path / "checkpoints").exists()


def test_those_of_jobs_that_are_over_are_swept(tmp_path: Path, checkpoints: Checkpoints) -> None:
    checkpoints.sweep(lambda tenant_id, job_id: True)
    checkpoints.keep(JOB, scratch(tmp_path, "first", "epoch 1"))
    asked = []

    def is_over(tenant_id: str, job_id: str) -> bool:
        asked.append((tenant_id, job_id))
        return len(asked) > 1

    checkpoints.sweep(is_over)
    assert (tmp_path / "checkpoints/tnt_a.job_1.pt").exists()
    checkpoints.sweep(is_over)
    assert asked == [("tnt_a", "job_1")] * 2
    # A worker was killed while it kept one.
    (tmp_path / "checkpoints/tnt_a.job_1.new").write_text("epoch 2")
    checkpoints.sweep(is_over)
    assert list((tmp_path / "checkpoints").iterdir()) == []
