"""How the texts of a column are split into tokens, and the lexicon that Chinese is cut by.

jieba finds the words of the texts that are learned from; from them, with how frequent they are,
comes the lexicon by which training and serving cut every text. So the served model carries the
words that it knows, and serving needs no dictionary (ADR 0031).
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from modelyard.core.errors import Invalid
from modelyard.serving.runtimes.tokens import UNSPACED, Tokens
from modelyard.training.spec import TextTokens

if TYPE_CHECKING:
    import polars as pl

MAX_LEXICON: Final = 50_000
MAX_WORD: Final = 8
"""Characters of a word that no space ends."""
_SHARE: Final = 0.2
"""Of the letters, from which on a column counts as written without spaces."""
_LOOKED_AT: Final = 1000
_WITHOUT_SPACES: Final = re.compile(rf"[{UNSPACED}]+").fullmatch


def unspaced(texts: pl.Series) -> bool:
    """Whether most texts are in a script that sets no spaces between words."""
    some = texts.drop_nulls().head(_LOOKED_AT)
    signs = int(some.str.count_matches(f"[{UNSPACED}]").sum())
    letters = int(some.str.count_matches(r"\w").sum())
    return signs > _SHARE * letters


def words_of(texts: pl.Series) -> float:
    """How many words the known texts have on average; two signs without spaces are about one."""
    pattern = rf"[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]+"
    return float(texts.drop_nulls().str.count_matches(pattern).mean() or 0.0)  # type: ignore[arg-type]


def tokens_for(texts: pl.Series, asked: TextTokens, *, spaced: Tokens) -> Tokens:
    """The tokens that were asked for, or those that suit the texts; `spaced` is what suits those
    that set spaces.

    Raises:
        Invalid: words without spaces are asked for, and jieba is not installed.
    """
    if asked is TextTokens.AUTO:
        return "char" if unspaced(texts) else spaced
    if asked is TextTokens.JIEBA:
        if find_spec("jieba") is None:
            raise Invalid(
                "tokens 'jieba' need a library that this server does not have: "
                "pip install 'modelyard[words]'"
            )
        return "segment"
    return "char" if asked is TextTokens.CHARACTERS else spaced


def lexicon_of(texts: Iterable[str]) -> dict[str, float]:
    """The words that jieba finds in the texts, each with what it costs: -log of its frequency."""
    counts: Counter[str] = Counter()
    cut = _jieba()
    for text in texts:
        counts.update(
            word for word in cut(text.lower()) if len(word) <= MAX_WORD and _WITHOUT_SPACES(word)
        )
    kept = dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MAX_LEXICON])
    total = math.log(max(1, sum(kept.values())))
    return {word: round(total - math.log(count), 4) for word, count in kept.items()}


def _jieba() -> Callable[[str], Iterable[str]]:
    """The cutting of jieba, with its dictionary read afresh: its cache lies where anybody may
    write, and is code.
    """
    with warnings.catch_warnings():
        # Its regular expressions have escapes that newer Pythons complain about.
        warnings.simplefilter("ignore")
        import jieba
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    cut: Callable[[str], Iterable[str]] = tokenizer.cut
    return cut
