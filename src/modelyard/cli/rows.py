"""Reading the rows that `modelyard predict` sends: JSON, JSON Lines or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from modelyard.cli.failure import CommandFailed
from modelyard.training.delimited import separator_of
from modelyard.training.recognition import MISSING
from modelyard_client.inference import ModelMetadata

_BOOLEANS = {"true": True, "false": False}


class Rows(NamedTuple):
    """Records or rows, in order; `strings` when they are records whose values are all text.

    Their numbers may have a decimal comma where commas do not stand between the values.
    """

    values: list[Any]
    strings: bool
    decimal_comma: bool = False


def read_rows(text: str, source: str) -> Rows:
    """Read a file's rows. The content decides what the file is.

    `{"instances": [...]}`, a list, one record, one JSON value per line, or a CSV table with a line
    of headings, whose values are all strings.

    Raises:
        CommandFailed: none of these, or nothing at all; the message names the line.
    """
    stripped = text.strip()
    if not stripped:
        raise CommandFailed(f"{source} holds no rows")
    if stripped[0] not in "[{":
        return _csv(text, source)
    try:
        document = msgspec.json.decode(stripped)
    except msgspec.DecodeError as error:
        lines = [line for line in stripped.splitlines() if line.strip()]
        if len(lines) == 1:
            raise CommandFailed(f"{source} is not JSON: {error}") from None
        return Rows(_json_lines(text, source), strings=False)
    if isinstance(document, dict) and isinstance(document.get("instances"), list):
        document = document["instances"]
    rows = [document] if isinstance(document, dict) else document
    if not rows:
        raise CommandFailed(f"{source} holds no rows")
    return Rows(list(rows), strings=False)


def fit_strings(
    records: Sequence[Mapping[str, str]], metadata: ModelMetadata, *, decimal_comma: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """CSV records with the types that the model takes, and the columns it does not take.

    Cells are read as those of a data set are: an empty one, `NA` and its like are missing values.

    Raises:
        CommandFailed: a cell that is no number where the model takes one.
    """
    datatypes = _datatypes(metadata)
    fitted = [
        {
            name: _value(row, name, cell, datatypes[name], decimal_comma=decimal_comma)
            for name, cell in record.items()
            if name in datatypes
        }
        for row, record in enumerate(records, start=1)
    ]
    ignored = [name for name in (records[0] if records else ()) if name not in datatypes]
    return fitted, ignored


def _json_lines(text: str, source: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line))
            except msgspec.DecodeError as error:
                raise CommandFailed(f"{source}, line {number}: not JSON: {error}") from None
    return rows


def _csv(text: str, source: str) -> Rows:
    separator = separator_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Any] = []
    try:
        headings = [" ".join(name.split()) for name in next(filter(None, reader))]
        if len(set(headings)) != len(headings):
            raise CommandFailed(f"{source}, line 1: a heading stands there twice")
        for values in reader:
            if values and len(values) != len(headings):
                raise CommandFailed(
                    f"{source}, line {reader.line_num}: {len(values)} values under "
                    f"{len(headings)} headings"
                )
            if values:
                rows.append(dict(zip(headings, values, strict=True)))
    except csv.Error as error:
        raise CommandFailed(f"{source}, line {reader.line_num}: not CSV: {error}") from None
    if not rows:
        raise CommandFailed(f"{source} holds no rows beneath its headings")
    return Rows(rows, strings=True, decimal_comma=separator != ",")


def _datatypes(metadata: ModelMetadata) -> dict[str, str]:
    """What a record may hold: each column of an input that has columns, or each input."""
    datatypes: dict[str, str] = {}
    for tensor in metadata.inputs:
        names = tensor.parameters.get("columns") or [tensor.name]
        datatypes.update(dict.fromkeys(names, tensor.datatype))
    return datatypes


def _value(row: int, name: str, cell: str, datatype: str, *, decimal_comma: bool) -> Any:
    word = cell.strip()
    if word in MISSING:
        return None
    if datatype == "BYTES":
        return word
    if word.lower() in _BOOLEANS:
        return _BOOLEANS[word.lower()]
    try:
        if "INT" in datatype:
            return int(word)
        return float(word.replace(",", ".") if decimal_comma else word)
    except ValueError:
        raise CommandFailed(
            f"row {row}, column '{name}': '{word[:40]}' is not a number, and the model takes "
            f"{datatype}"
        ) from None
