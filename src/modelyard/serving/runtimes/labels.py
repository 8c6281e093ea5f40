"""The names of a classifier's classes: `labels.txt`, or `id2label` in `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelyard.serving.runtimes.bundle import CONFIG_FILE, Bundle
from modelyard.serving.runtimes.contract import CannotLoad

LABELS_FILE: Final = "labels.txt"
"""One label a line, in the order of the network's classes."""
ID2LABEL: Final = "id2label"
MAX_LABELS: Final = 100_000
MAX_LABEL: Final = 500
"""Characters."""
_MAX_BYTES: Final = 8 << 20
_SHOWN: Final = 8


def read_labels(bundle: Bundle, kind: str, classes: int) -> tuple[str, ...]:
    """One label for each class; `kind` says what needs them.

    Raises:
        CannotLoad: there are none, or not as many as classes; the message says what to do.
    """
    if LABELS_FILE in bundle:
        where, labels = LABELS_FILE, _lines(bundle.read(LABELS_FILE, _MAX_BYTES))
    else:
        named = bundle.settings().get(ID2LABEL)
        if named is None:
            raise CannotLoad(
                f"{kind} needs labels, and this one tells {classes} classes apart: add "
                f"{LABELS_FILE} with a label a line, or {ID2LABEL} in {CONFIG_FILE}"
            )
        where, labels = f"{ID2LABEL} in {CONFIG_FILE}", _numbered(named)
    if len(labels) != classes:
        raise CannotLoad(
            f"{where} has {len(labels)} labels, but the network tells {classes} classes apart"
        )
    for at, label in enumerate(labels):
        if not label or len(label) > MAX_LABEL or not label.isprintable():
            raise CannotLoad(
                f"label {at} of {where} is {label[:40]!r}; a label has 1 to {MAX_LABEL} "
                "printable characters"
            )
    return labels


def told(labels: tuple[str, ...]) -> str:
    """The labels in a sentence, the first of them if there are many."""
    shown = "; ".join(label[:40] for label in labels[:_SHOWN])
    more = f"; and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return f"Tells {len(labels)} labels apart: {shown}{more}."


def _lines(data: bytes) -> tuple[str, ...]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CannotLoad(f"{LABELS_FILE} is not UTF-8 text") from None
    return tuple(line.strip() for line in text.rstrip().split("\n"))[: MAX_LABELS + 1]


def _numbered(named: Any) -> tuple[str, ...]:
    """A list, or an object by number."""
    if isinstance(named, list):
        values = named
    elif isinstance(named, Mapping):
        try:
            values = [named[str(at)] for at in range(len(named))]
        except KeyError as error:
            raise CannotLoad(
                f"{ID2LABEL} in {CONFIG_FILE} has {len(named)} labels and none for class {error}"
            ) from None
    else:
        values = [None]
    if not all(isinstance(value, str) for value in values):
        raise CannotLoad(f'{ID2LABEL} in {CONFIG_FILE} must be like {{"0": "cat", "1": "dog"}}')
    return tuple(value.strip() for value in values)
