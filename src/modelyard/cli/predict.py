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

_PER_REQUEST = 1000


def predict(
    deployment: str,
    /,
    *,
    input: Annotated[str, Parameter(name=["--input", "-i"], allow_leading_hyphen=True)],
    json: Json = False,
) -> None:
    """Call a deployed model with the rows of a file.

    The file holds JSON records or rows, JSON Lines, or CSV with headings. Columns of a CSV file
    that the model does not take are left out.

    Args:
        deployment: The deployment.
        input: The file; - is standard input.
    """
    rows, strings = read_rows(*_read(input))
    with Client() as client:
        if strings:
            rows, ignored = fit_strings(rows, client.inference.metadata(deployment))
            if ignored:
                names = ", ".join(ignored)
                terminal(error=True).print(f"not sent, for the model does not take them: {names}")
        predictions: list[Any] = []
        for start in range(0, len(rows), _PER_REQUEST):
            predictions += client.predict(deployment, rows[start : start + _PER_REQUEST])
    if json:
        print_json({"predictions": predictions})
    else:
        _show(predictions)


def _read(source: str) -> tuple[str, str]:
    try:
        if source == "-":
            return sys.stdin.read(), "standard input"
        return Path(source).read_text(encoding="utf-8-sig"), source
    except UnicodeDecodeError:
        raise CommandFailed(f"{source} is not UTF-8 text") from None
    except OSError as error:
        raise CommandFailed(f"cannot read {source}: {error.strerror}") from None


def _show(predictions: Sequence[Any]) -> None:
    if all(isinstance(prediction, dict) for prediction in predictions):
        names = list(predictions[0])
        rows = [[at, *(p.get(name) for name in names)] for at, p in enumerate(predictions, 1)]
        terminal().print(table(["ROW", *(name.upper() for name in names)], rows))
        return
    terminal().print(table(("ROW", "PREDICTION"), list(enumerate(predictions, 1))))
