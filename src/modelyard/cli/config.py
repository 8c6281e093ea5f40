"""`modelyard config`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from modelyard.cli.display import Json, print_json, table, terminal
from modelyard.core import settings

MASK: Final = "********"


class Entry(msgspec.Struct, frozen=True):
    """One setting in force. `source` is `default`, a variable, a file or `flag`."""

    name: str
    value: Any
    source: str
    meaning: str


def config(*, home: Path | None = None, json: Json = False) -> None:
    """Show each setting, its value and where it came from. Needs no server.

    Args:
        home: The home whose modelyard.toml is read.
    """
    flags = {"home": None if home is None else str(home)}
    entries = in_force(settings.resolve(flags, os.environ))
    warn_of_misspelt()
    if json:
        print_json({entry.name: entry for entry in entries})
        return
    rows = [(entry.name, _shown(entry.value), entry.source) for entry in entries]
    terminal().print(table(("SETTING", "VALUE", "SOURCE"), rows))


def warn_of_misspelt() -> None:
    """Say on standard error which variables were perhaps meant to be settings."""
    for name, meant in settings.misspelt(os.environ).items():
        line = f"modelyard: {name} is not a setting; is {meant} meant?"
        terminal(error=True).print(line, soft_wrap=True)


def in_force(resolved: settings.Resolved) -> list[Entry]:
    """The settings as they may be shown: a secret that is set is masked."""
    entries = []
    for field in msgspec.structs.fields(settings.Settings):
        value = getattr(resolved.settings, field.name)
        if field.name in settings.SECRETS and value:
            value = MASK
        meaning = get_args(field.type)[1].description
        entries.append(Entry(field.name, value, resolved.sources[field.name], meaning))
    return entries


def _shown(value: Any) -> str:
    return "(empty)" if value == "" else str(value)
