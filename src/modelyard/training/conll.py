"""CoNLL files: a token to a line, its tag last, an empty line between texts.

As of the shared task of 2003 (Tjong Kim Sang and De Meulder), and whatever kept to it: the tag is
`O`, or a kind of entity behind `B-`, `I-` and the like. Lines of `-DOCSTART-`, and those that begin
with `# ` between two texts, say nothing of a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from modelyard.core.errors import TooLarge
from modelyard.training.source import MAX_ROWS, Source, check_size

if TYPE_CHECKING:
    import polars as pl

MAX_TOKENS: Final = 10_000
"""Of one text."""
TOKENS: Final = "tokens"
TAGS: Final = "tags"
_TAG: Final = re.compile(r"O|[BIESLU]-\S+")
_NEW_DOCUMENT: Final = "-DOCSTART-"
_FEWEST: Final = 2
"""Fields of a line: a token and its tag."""


def looks_like_conll(head: bytes) -> bool:
    """Whether every line of a file's beginning is a token's, or parts texts."""
    whole, _, last = head.decode("utf-8-sig", "replace").rpartition("\n")
    # The last line may be cut off.
    told = [_fields(line) for line in (whole or last).splitlines() if not _parts(line)]
    return bool(told) and all(
        len(fields) >= _FEWEST and _TAG.fullmatch(fields[-1]) for fields in told
    )


def read_conll(source: Source) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The texts as rows of `tokens` and `tags`, each with spaces between, and what was left out.

    Raises:
        Invalid: a line that is not as the others are; the message names it.
        TooLarge: over the bounds.
    """
    import polars as pl

    texts: list[tuple[str, str]] = []
    width = 0
    for text in _texts(source):
        tokens, tags = [], []
        for number, fields in text:
            width = width or len(fields)
            if len(fields) != width or width < _FEWEST:
                raise source.invalid(
                    f"line {number} has {len(fields)} fields, and the first has {width}: a token, "
                    "then its tag last, parted by tabs or else by spaces"
                )
            token, tag = fields[0], fields[-1]
            if not token or not tag or len(f"{token} {tag}".split()) != _FEWEST:
                raise source.invalid(f"line {number}: token and tag are one word each")
            tokens.append(token)
            tags.append(tag)
        texts.append((" ".join(tokens), " ".join(tags)))
        if len(texts) > MAX_ROWS:
            break
    check_size(source, len(texts), _FEWEST)
    left_out = f"of each line the token and the last of {width} fields are read, the tag"
    frame = pl.DataFrame(texts, schema={TOKENS: pl.String, TAGS: pl.String}, orient="row")
    return frame, (left_out,) if width > _FEWEST else ()


def _texts(source: Source) -> Iterator[Sequence[tuple[int, list[str]]]]:
    """The lines of each text, by their numbers."""
    text: list[tuple[int, list[str]]] = []
    for number, raw in source.lines():
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise source.invalid(f"line {number} is not UTF-8") from None
        if _parts(line) and not (text and line.startswith("#")):
            if text:
                yield text
            text = []
            continue
        text.append((number, _fields(line)))
        if len(text) > MAX_TOKENS:
            raise TooLarge(
                f"{source.name}: the text that ends in line {number} has more than {MAX_TOKENS} "
                "tokens; an empty line parts two texts"
            )
    if text:
        yield text


def _parts(line: str) -> bool:
    """Whether the line stands between texts. In a text a `#` is a token."""
    return not line.strip() or line.startswith(("# ", _NEW_DOCUMENT))


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
