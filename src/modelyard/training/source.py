"""A file that is read as a table: what errors call it, and how large its table may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.errors import Invalid, TooLarge

MAX_ROWS: Final = 50_000_000
MAX_COLUMNS: Final = 10_000
MAX_CELLS: Final = 500_000_000
MAX_NAME: Final = 256
"""Characters of a column's name."""
MAX_LINE: Final = 16 << 20
"""Bytes."""


class Source(msgspec.Struct, frozen=True):
    """A file to read, and what errors call it."""

    path: Path
    name: str

    @classmethod
    def called(cls, path: Path, filename: str) -> Source:
        """The file as its owner calls it: the last part of the name, short and printable."""
        last = filename.replace("\\", "/").rsplit("/", 1)[-1]
        printable = "".join(letter for letter in last if letter.isprintable())
        return cls(path, printable[:80] or "the file")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The file's lines with their ends, by their numbers. Raises TooLarge for a long one."""
        number = 0
        with self.path.open("rb") as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise TooLarge(f"{self.name}: line {number} is longer than {MAX_LINE} bytes")
                yield number, line

    def invalid(self, problem: str) -> Invalid:
        """The error that this file is bad in such a way."""
        return Invalid(f"{self.name}: {problem}")


def check_names(source: Source, names: Sequence[str]) -> None:
    """Raises Invalid or TooLarge unless every column has a short name of its own."""
    if len(names) > MAX_COLUMNS:
        raise TooLarge(f"{source.name}: {len(names)} columns; at most {MAX_COLUMNS} are read")
    places: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if not name:
            raise source.invalid(
                f"column {place} has no name in the header (if it is an index, save without it)"
            )
        if len(name) > MAX_NAME:
            raise source.invalid(
                f"the name of column {place} has {len(name)} characters; at most {MAX_NAME}"
            )
        if not name.isprintable():
            raise source.invalid(f"the name of column {place} holds a control character")
        if name in places:
            raise source.invalid(f"columns {places[name]} and {place} are both named '{name}'")
        places[name] = place


def check_size(source: Source, rows: int, columns: int) -> None:
    """Raises Invalid when there are no rows, TooLarge when there are too many."""
    if rows == 0:
        raise source.invalid("there is a header but not a single row")
    if rows > MAX_ROWS:
        raise TooLarge(f"{source.name}: more than {MAX_ROWS} rows, which is the most that is read")
    if rows * columns > MAX_CELLS:
        raise TooLarge(
            f"{source.name}: {rows} rows of {columns} columns; at most {MAX_CELLS} cells are read"
        )
