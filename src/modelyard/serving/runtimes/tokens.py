"""The tokens of a text, by rules that training and serving share.

`word`: two or more letters, digits or underscores, as scikit-learn's `CountVectorizer` has it.
`term`: any run of those, and every other sign that is no space by itself.
`char`: every character; runs of white space count as one space.
`segment`: `term`, but what is written without spaces (Chinese above all) is cut into the words of a
lexicon, on the likeliest path.
`space`: what white space parts, as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

Tokens = Literal["word", "term", "char", "segment", "space"]
Tokenizer = Callable[[str], Sequence[str]]

UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that set no spaces between words, as the inside of a regular expression's brackets."""

_WORD: Final = re.compile(r"\b\w\w+\b")
_TERM: Final = re.compile(r"\w+|[^\w\s]")
_RUN: Final = re.compile(rf"[{UNSPACED}]+|[^\W{UNSPACED}]+|[^\w\s]")
_SPACES: Final = re.compile(r"\s\s+")
_FIRST: Final = re.compile(rf"[{UNSPACED}]").match


def tokenizer(tokens: Tokens, lexicon: Mapping[str, float]) -> Tokenizer:
    """The function that splits a text so. `lexicon` is that of `segment`: what each word costs."""
    if tokens == "segment":
        return Segmenter(lexicon)
    if tokens == "char":
        return _characters
    if tokens == "space":
        return str.split
    return (_WORD if tokens == "word" else _TERM).findall


def _characters(text: str) -> Sequence[str]:
    return list(_SPACES.sub(" ", text))


class Segmenter:
    """Cuts text into words of a lexicon: of all ways to do so the one whose words cost least.

    A word costs the negative logarithm of how frequent it is, so the path is the likeliest one
    under a model of single words. A character that begins no word of the lexicon is a word itself,
    and costs more than any other.
    """

    def __init__(self, lexicon: Mapping[str, float]) -> None:
        self.lexicon = dict(lexicon)
        self._longest = max(map(len, lexicon), default=1)
        self._unknown = max(lexicon.values(), default=0.0) + 1.0

    def __call__(self, text: str) -> Sequence[str]:
        """The tokens of the text, in order."""
        tokens: list[str] = []
        for run in _RUN.findall(text):
            if len(run) > 1 and _FIRST(run):
                tokens.extend(self._cut(run))
            else:
                tokens.append(run)
        return tokens

    def _cut(self, run: str) -> Iterator[str]:
        end, cost_of = len(run), self.lexicon.get
        costs, ends = [0.0] * (end + 1), [0] * end
        for start in range(end - 1, -1, -1):
            best, at = self._unknown + costs[start + 1], start + 1
            for stop in range(start + 1, min(end, start + self._longest) + 1):
                cost = cost_of(run[start:stop])
                if cost is not None and cost + costs[stop] < best:
                    best, at = cost + costs[stop], stop
            costs[start], ends[start] = best, at
        start = 0
        while start < end:
            yield run[start : ends[start]]
            start = ends[start]
