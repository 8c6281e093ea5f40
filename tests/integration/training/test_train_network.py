"""A network's training as a job: cancelled, and taken up where it was killed."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
import torch

from modelyard.core.jobs import Job, JobState
from modelyard.registry.artifact import Format
from modelyard.registry.model import Reference
from tests.integration.training.room import OURS, Room
from tests.integration.training.test_train import Run

SPEC: dict[str, Any] = {
    "algorithm": "neural_network",
    "parameters": {"epochs": 50, "batch_size": 8, "early_stopping": True, "patience": 50},
}
SECONDS = 400.0
"""It takes some ten, but on a machine that is busy with others."""

pytestmark = pytest.mark.timeout(600)


def table() -> pl.DataFrame:
    generator = np.random.default_rng(2)
    matrix = generator.normal(size=(600, 6))
    frame = pl.DataFrame(matrix, schema=list("abcdef"), orient="row")
    return frame.with_columns(target=pl.Series(matrix[:, 0] * matrix[:, 1] + matrix[:, 2]))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in tasks' processes: sums are made in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Watched:
    """A job in a room, whose worker runs until the job is over."""

    def __init__(self, home: Path, **spec: Any) -> None:
        self.room = Room(home)
        table().write_parquet(home / "table.parquet")
        upload = self.room.upload((home / "table.parquet").read_bytes())
        self.room.datasets.add(OURS, "numbers", upload, "table.parquet")
        order = {"model": "net", "dataset": "numbers", "target": "target", **SPEC, **spec}
        self.job = self.room.jobs.submit(OURS, "train", order)
        self.kept = home / "checkpoints" / f"{OURS}.{self.job.id}.pt"

    def run(self, meanwhile: Callable[[], None]) -> Job:
        """Work until the job is over, and do something else meanwhile."""
        stop = threading.Event()

        def watch() -> None:
            try:
                meanwhile()
                self.wait(lambda: self.room.jobs.get(OURS, self.job.id).state.final)
            finally:
                stop.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        self.room.worker.run(stop)
        watcher.join()
        return self.room.jobs.get(OURS, self.job.id)

    def wait(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def epochs(self) -> list[int]:
        events = self.room.jobs.events(OURS, self.job.id)
        return [event.data["epoch"] for event in events if "epoch" in event.data]

    def kill_after_a_checkpoint(self) -> None:
        """Wait for a checkpoint, then kill the task's process."""
        self.wait(self.kept.exists)
        (task,) = (
            child
            for child in psutil.Process().children(recursive=True)
            if '"train"' in " ".join(child.cmdline())
        )
        task.kill()


@pytest.mark.usefixtures("one_thread")
def test_a_job_that_is_killed_makes_the_network_that_an_undisturbed_one_makes(
    tmp_path: Path,
) -> None:
    (tmp_path / "home").mkdir()
    watched = Watched(tmp_path / "home")

    job = watched.run(watched.kill_after_a_checkpoint)
    assert job.state is JobState.SUCCEEDED, job.failure
    assert job.attempt == 2
    told = watched.room.jobs.events(OURS, job.id)
    resumed = [event.data["resumed"] for event in told if "resumed" in event.data]
    assert len(resumed) == 1
    assert 0 < resumed[0] < 50
    assert watched.epochs()[-1] == 50
    assert not watched.kept.exists()
    version = watched.room.registry.version(OURS, Reference("net", version=1))
    (graph,) = (one for one in version.artifacts if one.format is Format.ONNX)
    whole = Run(tmp_path / "whole", table(), **SPEC)
    assert graph.digest == hashlib.sha256((whole.folder / graph.name).read_bytes()).hexdigest()
    watched.room.store.close()


def test_a_cancel_ends_it_within_seconds_and_leaves_nothing(tmp_path: Path) -> None:
    watched = Watched(tmp_path, parameters={**SPEC["parameters"], "epochs": 10_000})
    cancelled_at: list[float] = []

    def cancel() -> None:
        watched.wait(watched.kept.exists)
        cancelled_at.append(time.monotonic())
        watched.room.jobs.cancel(OURS, watched.job.id)

    assert watched.run(cancel).state is JobState.CANCELLED
    assert time.monotonic() - cancelled_at[0] < 30
    assert len(watched.epochs()) >= 1
    assert not watched.kept.exists()
    assert list((tmp_path / "scratch").iterdir()) == []
    watched.room.store.close()
