"""A table that is too large for its job's memory ends that job, with the numbers."""

import threading
import time
from pathlib import Path

import numpy as np
import polars as pl

from modelyard.core.jobs import JobState
from modelyard.training.jobs import LEAST_MEMORY
from tests.integration.training.room import OURS, Room

ROWS = 3_000_000


def test_a_table_beyond_the_jobs_memory_is_refused_with_numbers(tmp_path: Path) -> None:
    room = Room(tmp_path)
    # Small as a file, since it repeats itself, and large in memory.
    numbers = np.arange(ROWS) % 11
    frame = pl.DataFrame({f"column_{at}": (numbers * (at + 1)) % 13 for at in range(8)})
    frame.with_columns(target=pl.Series(numbers * 1.5)).write_parquet(tmp_path / "large.parquet")
    upload = room.upload((tmp_path / "large.parquet").read_bytes())
    room.datasets.add(OURS, "large", upload, "large.parquet")
    spec = {
        "model": "m",
        "dataset": "large",
        "target": "target",
        "algorithm": "linear",
        "max_memory_bytes": LEAST_MEMORY,
    }
    job = room.jobs.submit(OURS, "train", spec)
    stop = threading.Event()

    def wait() -> None:
        deadline = time.monotonic() + 100
        while not room.jobs.get(OURS, job.id).state.final and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    room.worker.run(stop)
    waiter.join()
    ended = room.jobs.get(OURS, job.id)
    assert (ended.state, ended.attempt) == (JobState.FAILED, 1)
    assert ended.failure is not None
    assert ended.failure.code == "over_limit"
    assert "and may use 512 MiB" in ended.failure.message
    room.store.close()
