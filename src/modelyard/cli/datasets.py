"""`modelyard datasets`."""

from __future__ import annotations

from pathlib import Path

from modelyard.cli.display import Json, facts, listing, print_json, size, table, terminal, text
from modelyard_client import Client
from modelyard_client.datasets import Column, ColumnProfile, DatasetVersion

_PREVIEW_COLUMNS = 8
_PREVIEW_ROWS = 5
_TOP = 3


def add(name: str, file: Path, /, *, json: Json = False) -> None:
    """Upload a table, tagged tokens or pictures, as the newest version of a dataset.

    A table is a CSV, Parquet or JSON Lines file; tokens with their tags are a CoNLL file. Pictures
    are a folder or a ZIP archive, with a folder of them for each class or a table (.csv) that names
    their files. The same bytes as the newest version's make no new one.

    Args:
        name: The dataset; it is made if need be.
        file: The file, or folder of pictures, to upload.
    """
    with Client() as client:
        version = client.datasets.add(name, file)
    if json:
        print_json(version)
        return
    found = version.inspection
    terminal().print(
        f"{version.dataset} version {version.number}: {found.rows} rows, "
        f"{len(found.columns)} columns ({size(version.size)} of {found.format})"
    )
    _warn(version)


def list_all(*, json: Json = False) -> None:
    """List the datasets by name."""
    with Client() as client:
        datasets = client.datasets.list()
    if json:
        print_json(datasets)
        return
    rows = [(d.name, d.latest, d.created_at) for d in datasets]
    listing(("DATASET", "LATEST", "CREATED"), rows, "no datasets: 'modelyard datasets add'")


def show(name: str, /, *, version: int | None = None, json: Json = False) -> None:
    """Show a dataset's columns and first rows.

    Args:
        name: The dataset.
        version: Its version; the newest if not given.
    """
    with Client() as client:
        shown = client.datasets.version(name, version)
    if json:
        print_json(shown)
        return
    _show(shown)


def _warn(version: DatasetVersion) -> None:
    for line in version.inspection.warnings:
        terminal().print(text(f"warning: {line}"))


def profile(name: str, /, *, version: int | None = None, json: Json = False) -> None:
    """Show how a dataset's columns are distributed, and what could mislead a training.

    Args:
        name: The dataset.
        version: Its version; the newest if not given.
    """
    with Client() as client:
        found = client.datasets.profile(name, version)
    if json:
        print_json(found)
        return
    rows = [
        (c.name, c.type, c.missing, c.distinct, c.outliers or None, _spread(c))
        for c in found.columns
    ]
    headings = ("COLUMN", "TYPE", "MISSING", "DISTINCT", "OUTLIERS", "VALUES")
    out = terminal()
    out.print(table(headings, rows))
    if found.warnings:
        out.print()
        out.print(facts([("warning", warning) for warning in found.warnings]))


def _spread(column: ColumnProfile) -> str:
    """The middle half and the ends of numbers and times; the first of other values."""
    if column.quantiles:
        low, first, middle, third, high = (
            f"{value:.4g}" if isinstance(value, float) else value
            for value in (column.quantiles[at] for at in ("0", "0.25", "0.5", "0.75", "1"))
        )
        return f"{low} .. {first} {middle} {third} .. {high}"
    return ", ".join(f"{one.value} ({one.rows})" for one in column.top[:_TOP])


def _show(version: DatasetVersion) -> None:
    found = version.inspection
    out = terminal()
    out.print(
        facts(
            [
                ("dataset", f"{version.dataset} version {version.number}"),
                ("file", f"{version.filename} ({size(version.size)} of {found.format})"),
                ("sha256", version.digest),
                ("created", version.created_at),
                ("rows", found.rows),
            ]
        )
    )
    out.print()
    columns = [
        (c.name, _kind(c), c.missing, c.distinct, c.minimum, c.maximum, c.mean)
        for c in found.columns
    ]
    headings = ("COLUMN", "TYPE", "MISSING", "DISTINCT", "MIN", "MAX", "MEAN")
    out.print(table(headings, columns))
    names = [column.name for column in found.columns[:_PREVIEW_COLUMNS]]
    if found.preview:
        out.print()
        rows = [[row.get(name) for name in names] for row in found.preview[:_PREVIEW_ROWS]]
        out.print(table(names, rows))
    _warn(version)


def _kind(column: Column) -> str:
    picture = column.picture
    if picture is None:
        return column.type
    colours = "grey" if picture.channels == 1 else "RGB"
    return f"{column.type}, {picture.width} x {picture.height} {colours}"
