"""What commands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from modelyard.cli.failure import CommandFailed

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
"""An option that is off unless it is given."""
Json = Annotated[Flag, Parameter(name="--json", help="Print one JSON document and nothing else.")]

Many = Annotated[list[str] | None, Parameter(negative="")]
"""An option that may be given again."""

_PIPE_WIDTH: Final = 200
_CELL: Final = 120
_FACT: Final = 400
"""A fact has a line of its own, and may take several."""
_GAP: Final = 2
_PROSE: Final = 24
"""Cells of more characters and several words are prose: they may go over several lines."""


def print_json(value: Any) -> None:
    """One document on standard output. Times are ISO 8601, amounts of money are strings."""
    document = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(document.decode() + "\n")


def terminal(*, error: bool = False) -> Console:
    """Where text for people goes. Colour is off where it is not a terminal, or by NO_COLOR."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    # Names and messages come from users: nothing in them is markup.
    return Console(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        width=None if stream.isatty() else _PIPE_WIDTH,
    )


class Grid:
    """Rows under headings; on a terminal too narrow for them, a few lines for each row.

    An identifier, a time or a number is never broken: only cells that are prose are.
    """

    def __init__(
        self, headings: Sequence[str], rows: Iterable[Sequence[Any]], most: int = _CELL
    ) -> None:
        self._headings = headings
        self._rows = [tuple(row) for row in rows]
        self._most = most

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._least <= options.max_width:
            yield self._table()
            return
        for place, row in enumerate(self._rows):
            if place:
                yield ""
            names = (heading.lower() for heading in self._headings)
            yield facts(zip(names, row, strict=True), max(self._most, _FACT))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        widest = Measurement.get(console, options, self._table()).maximum
        return Measurement(self._least, max(self._least, widest)).with_maximum(options.max_width)

    @cached_property
    def _least(self) -> int:
        """The fewest columns of a terminal that it needs."""
        return sum(map(self._width, range(len(self._headings)))) + _GAP * (len(self._headings) - 1)

    def _table(self) -> Table:
        from rich.table import Table

        made = Table(box=None, header_style="bold", pad_edge=False)
        for place, heading in enumerate(self._headings):
            values = [row[place] for row in self._rows]
            numeric = any(isinstance(value, int | float | Decimal) for value in values)
            made.add_column(
                heading,
                justify="right" if numeric else "left",
                overflow="fold",
                no_wrap=not self._is_prose(place),
                min_width=self._width(place),
            )
        for row in self._rows:
            made.add_row(*map(self._text, row))
        return made

    def _cells(self, place: int) -> list[str]:
        """A column with its heading."""
        return [self._headings[place], *(self._text(row[place]) for row in self._rows)]

    def _is_prose(self, place: int) -> bool:
        return any(map(_is_prose, self._cells(place)))

    def _width(self, place: int) -> int:
        """The least of a column."""
        from rich.cells import cell_len

        return _PROSE if self._is_prose(place) else max(map(cell_len, self._cells(place)))

    def _text(self, value: Any) -> str:
        return text(value, self._most)


def _is_prose(cell: str) -> bool:
    """Whether it may be broken: between words, or anywhere in scripts of wide characters."""
    from rich.cells import cell_len

    width = cell_len(cell)
    return width > _PROSE and (" " in cell or width > len(cell))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], most: int = _CELL) -> Grid:
    """A plain table; numbers stand to the right. Cells end after `most` characters."""
    return Grid(headings, rows, most)


def listing(headings: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print a table, or the sentence `empty` when there is nothing to list."""
    shown = list(rows)
    terminal().print(table(headings, shown) if shown else empty)


def facts(pairs: Iterable[tuple[str, Any]], most: int = _FACT) -> Table:
    """Names and values in two columns; what is None or empty is left out."""
    from rich.table import Table

    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", [], {}):
            made.add_row(name, text(value, most))
    return made


def prose(said: str) -> str:
    """A text of several lines, whole: printable but for the ends of its lines."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in said)


def text(value: Any, most: int = _CELL) -> str:
    """A value as a cell shows it: printable, on one line, not endless."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.6g}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    line = "".join(c if c.isprintable() else " " for c in str(value))
    return line if len(line) <= most else line[: most - 1] + "…"


def size(count: int) -> str:
    """Bytes as people read them: `1.5 MiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def parse_size(text: str) -> int:
    """`2GiB`, `512 MiB` or a plain number as bytes.

    Raises:
        CommandFailed: it is none of these.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise CommandFailed(f"'{text}' is no size; write it as 2GiB, 512MiB or in bytes")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
