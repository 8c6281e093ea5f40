"""Entities: runs of tokens that tags mark, and how well they are found.

Tags are IOB2 (`B-place I-place O`) or the like: a run begins at `B-`, at `S-`, or where the type
changes, and ends at `E-`, `O` or before the next one. A tag without such a letter (a part of
speech) marks its own token. Measured as the CoNLL shared tasks do (Tjong Kim Sang and Buchholz
2000): an entity counts as found if its type and both ends are right, and all count the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from modelyard.training.rows import Array

OUTSIDE: Final = "O"
_FIRST: Final = ("B", "S")
_LETTERS: Final = ("B", "I", "E", "S")


class Entity(NamedTuple):
    """The tokens from `start` up to, but not with, `end`."""

    start: int
    end: int
    type: str


def entities_of(tags: Sequence[str]) -> list[Entity]:
    """The runs that the tags of a text mark, in order."""
    found: list[Entity] = []
    start, kind = 0, ""
    for place, tag in enumerate(tags):
        letter, dash, told = tag.partition("-")
        marked = bool(dash) and letter in _LETTERS
        own = "" if tag == OUTSIDE else told if marked else tag
        begins = not marked or letter in _FIRST or own != kind
        if kind and (begins or not own):
            found.append(Entity(start, place, kind))
            kind = ""
        if own and not kind:
            start, kind = place, own
        if kind and letter in ("E", "S") and marked:
            found.append(Entity(start, place + 1, kind))
            kind = ""
    if kind:
        found.append(Entity(start, len(tags), kind))
    return found


def measure_tags(truth: Array, predicted: Array) -> dict[str, float]:
    """Metrics of texts' tags, both [n] of tags joined by spaces: precision, recall and F1 of
    entities, and the share of tokens whose tag is right. Tokens that were cut off count as missed.
    """
    right = told = known = same = tokens = 0
    for own, other in zip(truth, predicted, strict=True):
        wanted, given = own.split(), other.split()
        given += [OUTSIDE] * (len(wanted) - len(given))
        there, said = set(entities_of(wanted)), set(entities_of(given[: len(wanted)]))
        right, told, known = right + len(there & said), told + len(said), known + len(there)
        same += sum(one == two for one, two in zip(wanted, given, strict=False))
        tokens += len(wanted)
    precision = right / told if told else 0.0
    recall = right / known if known else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    accuracy = same / tokens if tokens else 0.0
    return {"f1": f1, "precision": precision, "recall": recall, "accuracy": accuracy}
