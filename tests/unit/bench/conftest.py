from collections.abc import Callable

import pytest

from bench.machine import Machine
from bench.measuring import Run
from bench.results import Results, results
from bench.rounds import Absence, Measured
from bench.standing import Standing

MACHINE = Machine(
    date="2026-01-31",
    processor="A processor",
    cores=2,
    system="Linux 6",
    python="3.11.0",
    server_core=0,
    load_core=1,
    runs=3,
    seconds=4.0,
    load_average=0.1,
    versions={"commit": "abc"},
)

Measure = Callable[..., Results]


@pytest.fixture
def measure() -> Measure:
    """Results of (scenario, server, processor microseconds, requests a second, ...) as given."""

    def make(
        *given: tuple[str, str, float, float],
        load_cores: float = 0.0,
        standing: Standing | None = None,
        absences: list[Absence] | None = None,
        failed: int = 0,
    ) -> Results:
        runs = [
            Run(letter, server, rate, cpu, cpu + 10, 100.0, 200.0, failed, load_cores)
            for letter, server, cpu, rate in given
        ]
        standings = [] if standing is None else [standing]
        return results(MACHINE, Measured(runs, standings, absences or []))

    return make
