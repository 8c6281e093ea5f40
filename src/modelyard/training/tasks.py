"""The tasks of this room: files in, files out, each in a child process of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from modelyard.core.tasks import RESULT_FILE, Report
from modelyard.training.spec import TrainSpec, read_spec


def train(scratch: Path, report: Report) -> None:
    """Train on a table; leave the model's files and a `Trained`."""
    import polars as pl

    from modelyard.training.training import train as train_on

    spec = read_spec(scratch, TrainSpec)
    trained = train_on(pl.read_parquet(scratch / spec.table), spec, scratch, report)
    _write(scratch, trained)


def _write(scratch: Path, result: msgspec.Struct) -> None:
    (scratch / RESULT_FILE).write_bytes(msgspec.json.encode(result))
