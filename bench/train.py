"""Training: what a job adds to the library's own time, what a second process brings to a tuning,
and how each algorithm is served: `python -m bench.train`.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from bench.environments import ROOT
from bench.machine import Machine, machine
from bench.served_forms import ServedForm
from modelyard.cli.local_server import LocalServer
from modelyard_client import Client

PAGE: Final = ROOT / "docs/explanation/training-performance.md"
MODULE: Final = "bench.plain_training"
FOREST: Final = {"n_estimators": 150}
TRIALS: Final = 24
_FOLDS: Final = 3
TARGET: Final = "label"
ROWS: Final = 20_000
_WIDTH: Final = 20
_SOURCES: Final = ("src", "packages/sdk/src", "bench")
_TUNED_SHARE: Final = 5
"""Trials are of so many times fewer rows."""
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)


class Tuned(NamedTuple):
    """Seconds of a tuning, and of all its trials together."""

    job: float
    trials: float

    @property
    def speed(self) -> float:
        """Seconds of trials in each second."""
        return self.trials / self.job


class Jobs(NamedTuple):
    """Seconds of the plain script and of the job on as many rows; a tuning by one process, and by
    two.
    """

    rows: int
    trials: int
    plain: float
    job: float
    by_one: Tuned
    by_two: Tuned


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the page or publish it."""
    parser = argparse.ArgumentParser("bench.train", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--publish", action="store_true", help=f"write {PAGE.name}")
    told = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    # As an installation has it: a job's sandbox writes nothing, and would compile all of it anew.
    for folder in _SOURCES:
        compileall.compile_dir(ROOT / folder, quiet=1, workers=0)
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-train-") as folder:
        jobs = _jobs(Path(folder), told.rounds, told.rows, told.trials)
    where = machine(0, 0, told.rounds, 0.0, load, {})
    page = _page(jobs, _forms(), where)
    if told.publish:
        PAGE.write_text(page, "utf-8")
    print(page)


def _jobs(folder: Path, rounds: int, rows: int, trials: int) -> Jobs:
    large, small = folder / "large.csv", folder / "small.csv"
    _write_table(large, rows)
    _write_table(small, rows // _TUNED_SHARE)
    server = LocalServer(folder / "home", folder / "server.log")
    try:
        with server.start() as client:
            client.datasets.add("large", large)
            client.datasets.add("small", small)
            plain, jobs = [], []
            for _ in range(rounds):
                plain.append(_script(large))
                options = {"algorithm": "random_forest", "parameters": FOREST}
                jobs.append(_job(client, "large", **options)[1])
            tuned = [_tuned(client, trials, workers) for workers in (1, 2)]
    finally:
        server.stop()
    return Jobs(rows, trials, median(plain), median(jobs), tuned[0], tuned[1])


def _write_table(path: Path, rows: int) -> None:
    import polars as pl
    from sklearn.datasets import make_classification

    matrix, truth = make_classification(rows, _WIDTH, n_informative=8, random_state=7)
    columns = {f"column_{at}": matrix[:, at].astype("float32") for at in range(_WIDTH)}
    pl.DataFrame({**columns, TARGET: truth}).write_csv(path)


def _script(table: Path) -> float:
    command = [sys.executable, "-m", MODULE, str(table), TARGET, json.dumps(FOREST)]
    began = time.monotonic()
    subprocess.run(
        command, cwd=ROOT, env={**os.environ, **_ONE_THREAD}, check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - began


def _tuned(client: Client, trials: int, workers: int) -> Tuned:
    options = {"algorithm": "random_forest", "trials": trials, "folds": _FOLDS}
    job, took = _job(client, "small", **options, workers=workers)
    told = [event.data for event in client.jobs.events(job) if "trial" in event.data]
    return Tuned(took, sum(trial["seconds"] for trial in told))


def _job(client: Client, dataset: str, **options: Any) -> tuple[str, float]:
    """The job, and the seconds from the request that submits it to its end."""
    began = time.monotonic()
    job = client.jobs.submit_train("bench", dataset=dataset, target=TARGET, **options)
    ended = client.jobs.wait(job.id)
    took = time.monotonic() - began
    if ended.state != "succeeded":
        raise SystemExit(f"job {job.id} {ended.state}: {ended.failure}")
    return job.id, took


def _forms() -> list[ServedForm]:
    """Measured in a process with one thread, as tasks have it."""
    command = [sys.executable, "-m", "bench.served_forms"]
    said = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **_ONE_THREAD}, check=True, stdout=subprocess.PIPE
    ).stdout
    return [msgspec.json.decode(line, type=ServedForm) for line in said.splitlines()]


def _page(jobs: Jobs, forms: Sequence[ServedForm], where: Machine) -> str:
    allowed = 1.05 * jobs.plain + 3
    lines = [
        "# How fast training is, and what it serves",
        "",
        "Written by `make bench-train PUBLISH=1`.",
        "",
        f"- A random forest on {jobs.rows} rows of {_WIDTH} numbers: {jobs.plain:.1f} s as a plain "
        f"script of the library's (read, split, fit, score, save), {jobs.job:.1f} s as a job, from "
        "its submission to a version in the registry that is evaluated, converted to ONNX and "
        f"checked against the original: {jobs.job - jobs.plain:+.1f} s (target: at most 5 % and "
        f"3 s, which is {allowed:.1f} s in all).",
        f"- Tuning, {jobs.trials} trials of {_FOLDS} folds: {_told(jobs.by_one)} by one process, "
        f"{_told(jobs.by_two)} by two (`--workers 2`): {jobs.by_two.speed / jobs.by_one.speed:.2f} "
        "times as many seconds of trials in each second (target: 1.7). The whole job counts, with "
        "what is done once. The trials differ: by two processes each knows of fewer trials before "
        "it, so that fewer are given up early.",
        "",
        "## Each algorithm: served as what, how near, how much faster",
        "",
        "Trained on a small set that comes with scikit-learn or gensim. The difference is the "
        "largest between the served numbers and the library's own, on held-out rows and on rows "
        "with gaps and unknown categories. The speed-up is the library's time for raw records "
        "(its `predict_proba`, or `predict` where there is none) over that of the served form, "
        "both in the same process and asked in turns.",
        "",
        "| algorithm | task | served as | largest difference | 1 row | 256 rows |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(form) for form in forms]
    lines += [
        "",
        f"Measured on {where.date} on {where.cores} cores ({where.processor}), Python "
        f"{where.python}, load average before it {where.load_average:.1f}.",
        "",
    ]
    return "\n".join(lines)


def _told(tuned: Tuned) -> str:
    return f"{tuned.job:.1f} s with {tuned.trials:.1f} s of trials"


def _line(form: ServedForm) -> str:
    near = "labels agree" if form.difference is None else f"{form.difference:.1g}"
    if not form.agreed:
        near = form.reason
    cells = [
        f"{form.native[rows] / taken:.1f}x ({form.native[rows] * 1e6:.0f} to {taken * 1e6:.0f} us)"
        for rows, taken in form.served.items()
    ] or ["-", "-"]
    return f"| {form.algorithm} | {form.task} | {form.form} | {near} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
