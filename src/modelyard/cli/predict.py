"""`modelyard predict`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from modelyard.cli.display import Json, print_json, table, terminal
from modelyard.cli.failure import CommandFailed
from modelyard.cli.rows import fit_strings, read_rows
from modelyard_client import Client
from modelyard_client.inference import ModelMetadata

_PER_REQUEST = 1000
_SHORT = 10
_MOST = 10_000
"""Characters of a prediction that is a text."""


def predict(
    deployment: str,
    /,
    *,
    input: Annotated[str, Parameter(name=["--input", "-i"], allow_leading_hyphen=True)],
    json: Json = False,
) -> None:
    """Call a deployed model with the rows of a file, or with a picture.

    The file holds JSON records or rows, JSON Lines, or CSV with headings, read as a data set's is.
    Columns of a CSV file that the model does not take are left out. A file that is no text goes
    to a model that takes such files as they are: a picture to an image classifier.

    Args:
        deployment: The deployment.
        input: The file; - is standard input.
    """
    data = _read(input)
    with Client() as client:
        rows = _rows(client, deployment, data, input)
        predictions: list[Any] = []
        for start in range(0, len(rows), _PER_REQUEST):
            predictions += client.predict(deployment, rows[start : start + _PER_REQUEST])
    if json:
        print_json({"predictions": predictions})
    else:
        _show(predictions)


def _rows(client: Client, deployment: str, data: bytes, source: str) -> list[Any]:
    """What is sent: the file's rows, or the file itself where it is no text."""
    text = _text(data)
    if text is None:
        return [{_binary_input(client.inference.metadata(deployment), source): data}]
    read = read_rows(text, _called(source))
    if not read.strings:
        return read.values
    metadata = client.inference.metadata(deployment)
    fitted, ignored = fit_strings(read.values, metadata, decimal_comma=read.decimal_comma)
    if ignored:
        names = ", ".join(ignored)
        terminal(error=True).print(f"not sent, for the model does not take them: {names}")
    return fitted


def _read(source: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise CommandFailed(f"cannot read {source}: {error.strerror}") from None


def _text(data: bytes) -> str | None:
    """The file as text; None if it is none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _called(source: str) -> str:
    return "standard input" if source == "-" else source


def _binary_input(metadata: ModelMetadata, source: str) -> str:
    """The input that takes files as they are."""
    for tensor in metadata.inputs:
        if tensor.parameters.get("binary"):
            return tensor.name
    raise CommandFailed(
        f"{_called(source)} is not UTF-8 text, and '{metadata.name}' takes no other files"
    )


def _show(predictions: Sequence[Any]) -> None:
    if all(isinstance(prediction, dict) for prediction in predictions):
        names = list(predictions[0])
        rows = [[at, *(_cell(p.get(n)) for n in names)] for at, p in enumerate(predictions, 1)]
        terminal().print(table(["ROW", *(name.upper() for name in names)], rows))
        return
    terminal().print(table(("ROW", "PREDICTION"), list(enumerate(predictions, 1)), _MOST))


def _cell(value: Any) -> Any:
    """A value as it stands in a table: lists and objects in a row, if they are short."""
    if isinstance(value, list) and len(value) <= _SHORT:
        return "; ".join(str(_number(each)) for each in value)
    if isinstance(value, dict) and len(value) <= _SHORT:
        return "; ".join(f"{name}: {_number(each)}" for name, each in value.items())
    return _number(value)


def _number(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
