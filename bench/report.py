"""The table: printed, and as Markdown for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from bench.results import Results, Row, Spread, title
from bench.scenarios import SCENARIOS, STANDING
from bench.targets import Verdict, verdicts

HEADINGS = (
    "server",
    "CPU, us a request",
    "of all its processes",
    "of bare",
    "of in-process",
    "requests/s",
    "p50, ms",
    "p99, ms",
    "target",
)


def print_table(results: Results, console: Console) -> None:
    """One table of everything."""
    table = Table(title=describe(results), show_lines=False)
    for heading in HEADINGS:
        left = heading in ("server", "target")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for heading, rows in sections(results):
        table.add_section()
        table.add_row(f"[bold]{heading}[/bold]")
        for row in rows:
            table.add_row(*row)
    console.print(table)


def markdown(results: Results) -> str:
    """The same as Markdown: a table for each scenario."""
    parts = [describe(results) + "."]
    for heading, rows in sections(results):
        lines = [f"**{heading}**", "", _line(HEADINGS), _line(["---"] * len(HEADINGS))]
        parts.append("\n".join([*lines, *(_line(row) for row in rows)]))
    named = ", ".join(f"{name} {number}" for name, number in results.machine.versions.items())
    parts.append(f"Versions: {named}.")
    return "\n\n".join(parts)


def describe(results: Results) -> str:
    """Where, when and how it was measured."""
    it = results.machine
    return (
        f"{it.date}, {it.processor}, {it.cores} cores, {it.system}, Python {it.python}: medians "
        f"of {it.runs} run{'s' if it.runs > 1 else ''} of {it.seconds:g} s, server on core "
        f"{it.server_core}, load on core {it.load_core}, load average before {it.load_average:.1f}"
    )


def sections(results: Results) -> Iterator[tuple[str, list[list[str]]]]:
    """Each scenario's heading and its rows, the absent ones at the end."""
    judged = list(verdicts(results))
    connections = {each.letter: each.connections for each in SCENARIOS}
    for letter, rows in groupby(results.rows, key=lambda row: row.scenario):
        many = connections.get(letter, connections["C"])
        cells = [_cells(row, _of(judged, letter, row.server)) for row in rows]
        cells += [
            _note(absence.server, absence.reason)
            for absence in results.absences
            if absence.scenario == letter
        ]
        yield f"{letter}: {title(letter)}, {many} connections", cells
    if results.standing is not None:
        weighed = f"{results.standing.proportional / 1e6:.0f} MB if shared pages are shared out"
        found = [_note("Modelyard", str(each)) for each in judged if each.scenario == STANDING]
        yield f"{STANDING}: one gateway, one small model ({weighed})", found
    missing = [_note(each.server, each.reason) for each in results.absences if not each.scenario]
    if missing:
        yield "Not measured", missing


def _cells(row: Row, judged: Sequence[Verdict]) -> list[str]:
    said = [str(verdict) for verdict in judged]
    if row.failed:
        said.insert(0, f"{row.failed} requests FAILED")
    if row.note:
        said.append(row.note)
    return [
        row.server,
        _number(row.cpu),
        _number(row.cpu_all),
        _ratio(row.to_bare),
        _ratio(row.to_session),
        _number(row.rate),
        _milliseconds(row.p50),
        _milliseconds(row.p99),
        "; ".join(said),
    ]


def _of(judged: Sequence[Verdict], letter: str, server: str) -> list[Verdict]:
    return [each for each in judged if (each.scenario, each.server) == (letter, server)]


def _note(server: str, text: str) -> list[str]:
    return [server, *[""] * (len(HEADINGS) - 2), text]


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _milliseconds(value: float) -> str:
    return f"{value / 1000:.2f}" if value else ""


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return ""
    if spread.least == spread.most:
        return f"{spread.median:.2f}"
    return f"{spread.median:.2f} ({spread.least:.2f}-{spread.most:.2f})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
