"""`modelyard models check`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.cli.display import Json, facts, print_json, terminal, text
from modelyard.cli.failure import CommandFailed
from modelyard.core import settings

if TYPE_CHECKING:
    from modelyard.core.tensors import TensorSpec
    from modelyard.registry.parity import Parity
    from modelyard.training.checking import Checked


def check(path: Path, /, *, sample: Path | None = None, json: Json = False) -> None:
    """Try a model as an import would: load it in a sandbox, and ask it. Needs no server.

    Args:
        path: The model's file, an archive with it, or the folder of a custom model.
        sample: A JSON file with some rows that the model takes; without it they are made up.
    """
    from modelyard.bootstrap.checking import make_checker
    from modelyard.training.checking import CheckFailedError

    checker = make_checker(settings.resolve({}, os.environ).settings)
    with tempfile.TemporaryDirectory(prefix="modelyard-check-") as folder:
        opening, trying = Path(folder, "opening"), Path(folder, "trying")
        opening.mkdir()
        trying.mkdir()
        try:
            checked = checker.check(path, sample, opening, trying)
        except CheckFailedError as failed:
            if failed.printed:
                terminal(error=True).print(failed.printed, markup=False, highlight=False)
            raise CommandFailed(failed.error.message) from None
    if json:
        print_json(checked)
    else:
        terminal().print(facts(_found(checked)))


def _found(checked: Checked) -> list[tuple[str, Any]]:
    told = checked.examined
    cost = told.profile
    rows = "rows of several requests share a call" if cost.stackable else "one request a call"
    return [
        ("model", told.card.algorithm),
        ("format", checked.format),
        ("takes", "; ".join(map(_tensor, told.signature.inputs))),
        ("gives", "; ".join(map(_tensor, told.signature.outputs))),
        ("a row", f"{text((cost.call_seconds + cost.row_seconds) * 1000)} ms; {rows}"),
        ("memory", f"{cost.memory_bytes / 2**20:.1f} MiB"),
        ("ONNX form", _parity(told.parity) if told.parity is not None else None),
        *(("warning", warning) for warning in told.card.warnings),
        ("printed", checked.printed or None),
    ]


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype}[{', '.join(map(str, spec.shape))}]"


def _parity(parity: Parity) -> str:
    if parity.agreed:
        return f"agrees on {parity.rows} rows"
    return f"none: {parity.reason}"
