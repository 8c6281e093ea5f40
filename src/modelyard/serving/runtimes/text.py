"""Text as a model takes it: numbers that stand for its tokens.

The graph of a text model begins at these numbers, so that serving needs neither the library that it
was trained with nor string operators of the graph's runtime. Linear models take counts: how often
each term of a fixed vocabulary occurs, as scikit-learn's `CountVectorizer` counts tokens and runs
of neighbours. Networks take the tokens' numbers in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from modelyard.core.errors import Invalid, TooLarge
from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.dates import DateInput, date_parts
from modelyard.serving.runtimes.tokens import Tokens, tokenizer

MAX_CHARACTERS: Final = 1_000_000
"""Of one text."""
MAX_CELLS: Final = 32_000_000
"""Rows times vocabulary of one request: 128 MB of counts."""
MAX_SEQUENCE_CELLS: Final = 4_000_000
"""Rows times tokens of one request, with those that fill short texts up."""
PADDING: Final = 0
UNKNOWN: Final = 1
"""The number of a token that the vocabulary lacks; the vocabulary's own begin behind it."""
FIRST: Final = 2

_Lexicon = Annotated[dict[str, float], Meta(max_length=200_000)]
_Vocabulary = Annotated[tuple[str, ...], Meta(min_length=1, max_length=200_000)]


class TextInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one input of strings becomes counts, FP32 [n, vocabulary].

    `name` is the input in the signature, `tensor` that of the graph. `ngrams` is the least and the
    greatest number of neighbouring tokens in a term; `vocabulary` lists the terms in the order of
    the counts. Characters are joined by nothing, other tokens by a space.
    """

    name: str
    tensor: str
    lowercase: bool
    tokens: Tokens
    ngrams: tuple[Annotated[int, Meta(ge=1, le=5)], Annotated[int, Meta(ge=1, le=5)]]
    vocabulary: _Vocabulary
    lexicon: _Lexicon = {}


class SequenceInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one input of strings becomes numbers of tokens, INT64 [n, tokens of the longest].

    A text is cut off after `length` tokens; shorter ones are filled up with `PADDING`. A text
    without a single token counts as one unknown token.
    """

    name: str
    tensor: str
    lowercase: bool
    tokens: Tokens
    length: Annotated[int, Meta(ge=1, le=10_000)]
    vocabulary: _Vocabulary
    lexicon: _Lexicon = {}


class TextSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The inputs of a model that are made ready before its graph: the contents of its features
    artifact.
    """

    inputs: tuple[TextInput, ...]
    dates: tuple[DateInput, ...] = ()
    sequences: tuple[SequenceInput, ...] = ()

    def dump(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


class TextFeatures:
    """Turns a request's strings into the numbers that the graph takes."""

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec
        self._counters = tuple(_Counter(text) for text in spec.inputs)
        self._readers = tuple(SequenceReader(text) for text in spec.sequences)

    @classmethod
    def load(cls, data: bytes) -> TextFeatures:
        """Raises Invalid when `data` is not a features artifact."""
        try:
            return cls(msgspec.json.decode(data, type=TextSpec))
        except msgspec.DecodeError as error:
            raise Invalid(f"the model's text features cannot be read: {error}") from None

    def apply(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's inputs: each text input [n] replaced by its counts or numbers, each date by
        its parts.

        Raises:
            TooLarge: a text or the whole of the numbers is over its bound.
            Invalid: a date is none.
        """
        tensors = dict(inputs)
        for counter in self._counters:
            tensors[counter.tensor] = counter.count(tensors.pop(counter.name))
        for reader in self._readers:
            tensors[reader.spec.tensor] = reader.read(tensors.pop(reader.spec.name))
        for date in self.spec.dates:
            tensors[date.tensor] = date_parts(tensors.pop(date.name), date.name)
        return tensors


class SequenceReader:
    """Reads texts as `spec` says."""

    def __init__(self, spec: SequenceInput) -> None:
        self.spec = spec
        self._index: Final = {token: place for place, token in enumerate(spec.vocabulary, FIRST)}
        self._split = tokenizer(spec.tokens, spec.lexicon)

    def read(self, texts: Sequence[str] | Tensor) -> Tensor:
        """The numbers of the tokens, INT64 [n, tokens of the longest].

        Raises:
            TooLarge: a text or the whole is over its bound; names the row.
        """
        number_of, rows = self._index.get, []
        for row, text in enumerate(texts):
            _check_length(text, row, self.spec.name)
            tokens = self._split(text.lower() if self.spec.lowercase else text)
            numbers = [number_of(token, UNKNOWN) for token in tokens[: self.spec.length]]
            rows.append(numbers or [UNKNOWN])
        longest = max(map(len, rows))
        if len(rows) * longest > MAX_SEQUENCE_CELLS:
            raise TooLarge(
                f"input '{self.spec.name}' has {len(rows)} texts of up to {longest} tokens; "
                f"at most {MAX_SEQUENCE_CELLS // longest} of them are read in one request"
            )
        read = np.full((len(rows), longest), PADDING, np.int64)
        for row, numbers in enumerate(rows):
            read[row, : len(numbers)] = numbers
        return read


class _Counter:
    def __init__(self, text: TextInput) -> None:
        self.name = text.name
        self.tensor = text.tensor
        self._width = len(text.vocabulary)
        self._index: Final = {term: place for place, term in enumerate(text.vocabulary)}
        self._split = tokenizer(text.tokens, text.lexicon)
        self._join = ("" if text.tokens == "char" else " ").join
        self._lowercase = text.lowercase
        self._least, self._most = text.ngrams

    def count(self, texts: Tensor) -> Tensor:
        rows = len(texts)
        if rows * self._width > MAX_CELLS:
            raise TooLarge(
                f"input '{self.name}' has {rows} texts; "
                f"this model takes at most {MAX_CELLS // self._width} in one request"
            )
        counts = np.zeros((rows, self._width), np.float32)
        place_of = self._index.get
        for row, text in enumerate(texts):
            _check_length(text, row, self.name)
            places = [place for term in self._terms(text) if (place := place_of(term)) is not None]
            if places:
                np.add.at(counts[row], places, 1.0)
        return counts

    def _terms(self, text: str) -> Iterator[str]:
        tokens = self._split(text.lower() if self._lowercase else text)
        if self._least == 1:
            yield from tokens
        for size in range(max(2, self._least), self._most + 1):
            shifted = [tokens[start:] for start in range(size)]
            for run in zip(*shifted, strict=False):
                yield self._join(run)


def _check_length(text: str, row: int, name: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(
            f"input '{name}' has {len(text)} characters in row {row}; "
            f"at most {MAX_CHARACTERS} are read"
        )
