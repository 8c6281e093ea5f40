"""Tagging: a tag for each token of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modelyard.core.errors import Invalid
from modelyard.training.problem import Problem

if TYPE_CHECKING:
    import polars as pl

MAX_TAGS: Final = 1000
_WORD: Final = r"\S+"


def check_tags(table: pl.DataFrame, problem: Problem) -> None:
    """Raises Invalid unless each text has as many tags as tokens, and there are 2 to 1000 tags."""
    import polars as pl

    (text,) = problem.features
    counts = table.select(
        pl.int_range(1, pl.len() + 1).alias("row"),
        pl.col(text).fill_null("").str.count_matches(_WORD).alias("tokens"),
        pl.col(problem.target).str.count_matches(_WORD).alias("tags"),
    )
    for row, tokens, tags in counts.filter(pl.col("tokens") != pl.col("tags")).iter_rows():
        raise Invalid(
            f"row {row} has {tokens} tokens in '{text}' and {tags} tags in '{problem.target}': "
            "each token needs one tag, both parted by spaces"
        )
    distinct = table.get_column(problem.target).str.extract_all(_WORD).explode().n_unique()
    if not 2 <= distinct <= MAX_TAGS:
        raise Invalid(
            f"'{problem.target}' has {distinct} different tags; 2 to {MAX_TAGS} are told apart"
        )
