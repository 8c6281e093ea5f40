"""Text as a model takes it: how often each term of a fixed vocabulary occurs.

The graph of a text model begins at these counts, so that serving needs neither the library that it
was trained with nor string operators of the graph's runtime. The terms are those of scikit-learn's
`CountVectorizer`: words of two or more letters, digits or underscores, alone and in runs of
neighbours joined by a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta

from modelyard.core.errors import Invalid, TooLarge
from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.dates import DateInput, date_parts

MAX_CHARACTERS: Final = 1_000_000
"""Of one text."""
MAX_CELLS: Final = 32_000_000
"""Rows times vocabulary of one request: 128 MB of counts."""

_PATTERNS: Final = {"word": r"\b\w\w+\b"}


class TextInput(msgspec.Struct, frozen=True):
    """How one input of strings becomes counts.

    `name` is the input in the signature, `tensor` that of the graph. `ngrams` is the least and the
    greatest number of neighbouring tokens in a term; `vocabulary` lists the terms in the order of
    the counts.
    """

    name: str
    tensor: str
    lowercase: bool
    tokens: Literal["word"]
    ngrams: tuple[Annotated[int, Meta(ge=1, le=5)], Annotated[int, Meta(ge=1, le=5)]]
    vocabulary: Annotated[tuple[str, ...], Meta(min_length=1, max_length=200_000)]


class TextSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The inputs of a model that are made ready before its graph: the contents of its features
    artifact.
    """

    inputs: tuple[TextInput, ...]
    dates: tuple[DateInput, ...] = ()

    def dump(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


class TextFeatures:
    """Turns a request's strings into the numbers that the graph takes."""

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec
        self._counters = tuple(_Counter(text) for text in spec.inputs)

    @classmethod
    def load(cls, data: bytes) -> TextFeatures:
        """Raises Invalid when `data` is not a features artifact."""
        try:
            return cls(msgspec.json.decode(data, type=TextSpec))
        except msgspec.DecodeError as error:
            raise Invalid(f"the model's text features cannot be read: {error}") from None

    def apply(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's inputs: each text input [n] replaced by FP32 counts [n, vocabulary], each
        date by its parts.

        Raises:
            TooLarge: a text or the whole of the counts is over its bound.
            Invalid: a date is none.
        """
        tensors = dict(inputs)
        for counter in self._counters:
            tensors[counter.tensor] = counter.count(tensors.pop(counter.name))
        for date in self.spec.dates:
            tensors[date.tensor] = date_parts(tensors.pop(date.name), date.name)
        return tensors


class _Counter:
    def __init__(self, text: TextInput) -> None:
        self.name = text.name
        self.tensor = text.tensor
        self._width = len(text.vocabulary)
        self._index: Final = {term: place for place, term in enumerate(text.vocabulary)}
        self._find = re.compile(_PATTERNS[text.tokens]).findall
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
            if len(text) > MAX_CHARACTERS:
                raise TooLarge(
                    f"input '{self.name}' has {len(text)} characters in row {row}; "
                    f"at most {MAX_CHARACTERS} are read"
                )
            places = [place for term in self._terms(text) if (place := place_of(term)) is not None]
            if places:
                np.add.at(counts[row], places, 1.0)
        return counts

    def _terms(self, text: str) -> Iterator[str]:
        tokens: list[str] = self._find(text.lower() if self._lowercase else text)
        if self._least == 1:
            yield from tokens
        for size in range(max(2, self._least), self._most + 1):
            shifted = [tokens[start:] for start in range(size)]
            for run in zip(*shifted, strict=False):
                yield " ".join(run)
