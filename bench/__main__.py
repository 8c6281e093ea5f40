"""Run the benchmark and print its table."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.load import Order, Tally
from bench.models import Case, logistic_regression
from bench.servers import Server, bare, modelyard


class Run(msgspec.Struct, frozen=True):
    """One run: processor microseconds per request (of the answering processes, and of all)."""

    server: str
    requests_per_second: float
    cpu: float
    cpu_all: float
    p50: float
    p99: float
    failed: int


class Row(msgspec.Struct, frozen=True):
    """A case's result: medians over the runs. `ratio` is ours over the reference's."""

    case: str
    reference_cpu: float
    cpu: float
    cpu_all: float
    ratio: float
    ratio_least: float
    ratio_most: float
    reference_rate: float
    rate: float
    p50: float
    p99: float


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the gateway against a bare handler.")
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs of each server")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where to write it")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    server_core, load_core = cores[0], cores[-1]
    with tempfile.TemporaryDirectory() as folder:
        case = logistic_regression(Path(folder))
        with (
            bare(case.graph, server_core) as reference,
            modelyard(case.graph, Path(folder) / "home", server_core) as ours,
        ):
            runs = _interleaved(case, [reference, ours], given.runs, given.seconds, load_core)
    row = _row(case, runs)
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode({"rows": [row], "runs": runs})))
    _print(row, server_core, load_core, given.runs, given.seconds)


def _interleaved(
    case: Case, servers: Sequence[Server], times: int, seconds: float, core: int
) -> list[Run]:
    for server in servers:
        _load(server, case, 1.0, core)
    return [_run(server, case, seconds, core) for _ in range(times) for server in servers]


def _run(server: Server, case: Case, seconds: float, core: int) -> Run:
    before, before_all = server.cpu()
    tally = _load(server, case, seconds, core)
    after, after_all = server.cpu()
    outputs = msgspec.json.decode(tally.last)["outputs"]
    if tally.failed or outputs[0]["data"] != case.expected:
        raise SystemExit(f"{server.name}: {tally.failed} failed, answered {tally.last[:200]!r}")
    return Run(
        server=server.name,
        requests_per_second=tally.answered / tally.seconds,
        cpu=(after - before) / tally.answered * 1e6,
        cpu_all=(after_all - before_all) / tally.answered * 1e6,
        p50=tally.p50,
        p99=tally.p99,
        failed=tally.failed,
    )


def _load(server: Server, case: Case, seconds: float, core: int) -> Tally:
    order = Order(
        "127.0.0.1", server.port, server.path, server.key, case.body, case.connections, seconds
    )
    done = subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-m", "bench.load"],
        input=msgspec.json.encode(order),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Tally)


def _row(case: Case, runs: Sequence[Run]) -> Row:
    reference = [run for run in runs if run.server != "modelyard"]
    ours = [run for run in runs if run.server == "modelyard"]
    ratios = [own.cpu / ref.cpu for own, ref in zip(ours, reference, strict=True)]
    return Row(
        case=case.name,
        reference_cpu=statistics.median(run.cpu for run in reference),
        cpu=statistics.median(run.cpu for run in ours),
        cpu_all=statistics.median(run.cpu_all for run in ours),
        ratio=statistics.median(ratios),
        ratio_least=min(ratios),
        ratio_most=max(ratios),
        reference_rate=statistics.median(run.requests_per_second for run in reference),
        rate=statistics.median(run.requests_per_second for run in ours),
        p50=statistics.median(run.p50 for run in ours),
        p99=statistics.median(run.p99 for run in ours),
    )


def _print(row: Row, server_core: int, load_core: int, runs: int, seconds: float) -> None:
    table = Table(title=f"{row.case}, medians of {runs} runs of {seconds:g} s")
    for heading in ("", "CPU us/request", "requests/s", "p50 us", "p99 us"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("bare uvicorn", f"{row.reference_cpu:.1f}", f"{row.reference_rate:.0f}", "", "")
    table.add_row(
        "modelyard gateway", f"{row.cpu:.1f}", f"{row.rate:.0f}", f"{row.p50:.0f}", f"{row.p99:.0f}"
    )
    table.add_row("modelyard, all processes", f"{row.cpu_all:.1f}", "", "", "")
    console = Console()
    console.print(table)
    console.print(
        f"CPU per request, gateway over bare handler: {row.ratio:.2f} "
        f"({row.ratio_least:.2f} to {row.ratio_most:.2f}); "
        f"Python {platform.python_version()}, server on core {server_core}, "
        f"load on core {load_core}"
    )


if __name__ == "__main__":
    main()
