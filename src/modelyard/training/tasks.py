"""The tasks of this room: files in, files out, each in a child process of its own."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.tasks import RESULT_FILE, Progress, Report
from modelyard.training.spec import ExamineSpec, InspectSpec, TrainSpec, read_spec

TABLE_FILE: Final = "table.parquet"
PROFILE_FILE: Final = "profile.json"
GROUP_CELLS: Final = 1_000_000
"""Of a row group of the table."""


def train(scratch: Path, report: Report) -> None:
    """Train on a table; leave the model's files and a `Trained`."""
    import polars as pl

    from modelyard.training.training import train as train_on
    from modelyard.training.training import train_stream
    from modelyard.training.trial import read_trials
    from modelyard.training.trial_processes import TrialProcesses

    spec = read_spec(scratch, TrainSpec)
    if spec.stream:
        _write(scratch, train_stream(scratch / spec.table, spec, scratch, report))
        return
    with ExitStack() as stack:
        processes = None
        if spec.trials and spec.workers > 1:
            # First of all, so that they get ready while this process does.
            processes = stack.enter_context(TrialProcesses(spec.workers, scratch))
        table = pl.read_parquet(scratch / spec.table)
        trained = train_on(table, spec, scratch, report, read_trials(scratch), processes)
    _write(scratch, trained)


def inspect_dataset(scratch: Path, report: Report) -> None:
    """Read a dataset's file; leave the same rows as Parquet, their profile and an `Inspection`."""
    from modelyard.training.dataset import Inspection
    from modelyard.training.inspection import describe, preview
    from modelyard.training.profile import profile
    from modelyard.training.table import read

    spec = read_spec(scratch, InspectSpec)
    report(Progress("reading the file", 0.0))
    table = read(scratch / spec.file, spec.filename, scratch)
    rows, columns = table.frame.shape
    report(Progress(f"{rows} rows of {columns} columns", 0.6))
    inspection = Inspection(
        table.format, rows, describe(table.frame), preview(table.frame), table.warnings
    )
    # In groups that can be read one at a time, however wide the table is.
    group = max(1000, min(GROUP_CELLS // max(columns, 1), 1 << 18))
    table.frame.write_parquet(scratch / TABLE_FILE, row_group_size=group)
    (scratch / PROFILE_FILE).write_bytes(msgspec.json.encode(profile(table.frame)))
    _write(scratch, inspection)


def open_model(scratch: Path, report: Report) -> None:
    """Say what an upload is, and unpack it if it is an archive; leave an `Opened`."""
    from modelyard.training.opening import open_model as open_file

    spec = read_spec(scratch, InspectSpec)
    report(Progress("opening the file", 0.0))
    _write(scratch, open_file(scratch / spec.file, spec.filename))


def examine_model(scratch: Path, report: Report) -> None:
    """Try a model and convert it; leave its files and an `Examined`."""
    from modelyard.training.examination import examine_model as examine

    _write(scratch, examine(scratch, read_spec(scratch, ExamineSpec), report))


def _write(scratch: Path, result: msgspec.Struct) -> None:
    (scratch / RESULT_FILE).write_bytes(msgspec.json.encode(result))
