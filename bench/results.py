"""From single runs to the table's rows: medians, and ratios within one repetition."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from bench.contenders import BARE, OURS, SESSION
from bench.machine import Machine
from bench.measuring import Run
from bench.rounds import Absence, Measured
from bench.scenarios import SCENARIOS, TWO_GATEWAYS, scenario
from bench.standing import Standing


class Spread(msgspec.Struct, frozen=True):
    """A ratio: its median over the repetitions, the least and the most."""

    median: float
    least: float
    most: float


class Row(msgspec.Struct, frozen=True):
    """A server in a scenario: medians over the runs.

    `cpu` is of the processes that answer, `cpu_all` of all that belong to the server, both in
    microseconds a request; `to_bare` compares the first, as does `to_session`.
    """

    scenario: str
    server: str
    rate: float
    cpu: float
    cpu_all: float
    p50: float
    p99: float
    failed: int
    load_cores: float
    note: str
    to_bare: Spread | None = None
    to_session: Spread | None = None


class Results(msgspec.Struct):
    """One measurement: where and how, the rows, who is absent, and the runs behind it all."""

    machine: Machine
    rows: list[Row]
    standing: Standing | None
    absences: list[Absence]
    runs: list[Run]

    def row(self, letter: str, server: str) -> Row | None:
        """The row of a server in a scenario, if it was measured."""
        found = (row for row in self.rows if (row.scenario, row.server) == (letter, server))
        return next(found, None)


def results(machine: Machine, measured: Measured) -> Results:
    """Bring the runs together."""
    rows = []
    for letter in [*(each.letter for each in SCENARIOS), TWO_GATEWAYS]:
        runs = [run for run in measured.runs if run.scenario == letter]
        by_server = {name: [run for run in runs if run.server == name] for name in _names(runs)}
        rows += [_row(letter, name, by_server) for name in by_server]
    standing = _standing(measured.standings) if measured.standings else None
    return Results(machine, rows, standing, measured.absences, measured.runs)


def title(letter: str) -> str:
    """What the scenario of this letter is."""
    if letter == TWO_GATEWAYS:
        return f"{scenario('C').title}, two gateways"
    return scenario(letter).title


def _names(runs: Sequence[Run]) -> list[str]:
    """Servers in the table's order: references, ours, the others by what they cost."""
    if runs and runs[0].scenario == TWO_GATEWAYS:
        return list(dict.fromkeys(run.server for run in runs))
    first = {BARE: 0, SESSION: 1, OURS: 2}
    names = dict.fromkeys(run.server for run in runs)
    cost = {
        name: statistics.median(run.cpu_all for run in runs if run.server == name) for name in names
    }
    return sorted(names, key=lambda name: (first.get(name, 3), cost[name]))


def _row(letter: str, name: str, by_server: dict[str, list[Run]]) -> Row:
    runs = by_server[name]
    return Row(
        scenario=letter,
        server=name,
        rate=statistics.median(run.rate for run in runs),
        cpu=statistics.median(run.cpu for run in runs),
        cpu_all=statistics.median(run.cpu_all for run in runs),
        p50=statistics.median(run.p50 for run in runs),
        p99=statistics.median(run.p99 for run in runs),
        failed=sum(run.failed for run in runs),
        load_cores=statistics.median(run.load_cores for run in runs),
        note=runs[0].note,
        to_bare=_ratio(runs, by_server.get(BARE, [])),
        to_session=_ratio(runs, by_server.get(SESSION, [])),
    )


def _ratio(runs: Sequence[Run], others: Sequence[Run]) -> Spread | None:
    """Processor time over that of the other in the same repetition."""
    if not others or runs[0].server == others[0].server:
        return None
    ratios = [run.cpu / other.cpu for run, other in zip(runs, others, strict=False)]
    return Spread(statistics.median(ratios), min(ratios), max(ratios))


def _standing(standings: Sequence[Standing]) -> Standing:
    return Standing(
        resident=int(statistics.median(each.resident for each in standings)),
        proportional=int(statistics.median(each.proportional for each in standings)),
        first_answer=statistics.median(each.first_answer for each in standings),
        first_answer_command=statistics.median(each.first_answer_command for each in standings),
    )
