"""How like the texts that a model writes are to those that it should have written."""

from __future__ import annotations

from modelyard.training.rows import Array


def measure_texts(truth: Array, predicted: Array) -> dict[str, float]:
    """`exact_match` is the share of texts that are the same; `similarity` the mean over texts of
    one minus the edit distance (Levenshtein 1966) as a share of the longer text's length.
    """
    pairs = list(zip(truth, predicted, strict=True))
    same = sum(one == other for one, other in pairs)
    like = sum(1 - edit_distance(one, other) / max(len(one), len(other), 1) for one, other in pairs)
    return {"exact_match": same / len(pairs), "similarity": like / len(pairs)}


def edit_distance(one: str, other: str) -> int:
    """The fewest characters to insert, delete or replace that make one text the other."""
    if one == other:
        return 0
    row = list(range(len(other) + 1))
    for line, own in enumerate(one, 1):
        before, row[0] = row[0], line
        for at, letter in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (own != letter))
    return row[-1]
