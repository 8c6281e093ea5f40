"""Rivals: the versions that a new one is to be compared with, as the task finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.tensors import Signature
from modelyard.registry.card import Split

RIVALS_FILE: Final = "rivals.json"


class Rival(msgspec.Struct, frozen=True):
    """A version that an alias points at. `graph` and `features` are files in the scratch folder.

    `split` is that of its training if it was trained on the same table, else None. With a `reason`
    it cannot run here.
    """

    alias: str
    version: int
    task: str
    target: str
    signature: Signature | None = None
    graph: str = ""
    features: str = ""
    split: Split | None = None
    reason: str = ""


def write_rivals(rivals: tuple[Rival, ...], scratch: Path) -> None:
    """Leave the rivals for the task."""
    (scratch / RIVALS_FILE).write_bytes(msgspec.json.encode(rivals))


def read_rivals(scratch: Path) -> tuple[Rival, ...]:
    """What the parent has left."""
    path = scratch / RIVALS_FILE
    return msgspec.json.decode(path.read_bytes(), type=tuple[Rival, ...]) if path.exists() else ()
