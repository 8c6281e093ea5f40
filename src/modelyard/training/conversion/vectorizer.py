"""A text vectorizer in two halves: counts in front of the graph, and their weighting within it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from modelyard.serving.runtimes.text import TextInput
from modelyard.serving.runtimes.tokens import Segmenter, Tokens
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.graph import GraphBuilder

_LEAST_NORM: Final = 1e-30
_PLAIN: Final[dict[str, Any]] = {
    "binary": False,
    "preprocessor": None,
    "stop_words": None,
    "strip_accents": None,
}
_PATTERN: Final = r"(?u)\b\w\w+\b"


def text_input(vectorizer: Any, name: str, tensor: str) -> TextInput:
    """How the texts are counted: the vocabulary of a CountVectorizer or TfidfVectorizer.

    Raises:
        NotConvertible: it splits texts in a way that our reader does not.
    """
    if not hasattr(vectorizer, "vocabulary_"):
        raise NotConvertible(f"a {type(vectorizer).__name__} has no vocabulary to count by")
    for option, plain in _PLAIN.items():
        if getattr(vectorizer, option) != plain:
            raise NotConvertible(f"the vectorizer's {option} is not the plain one")
    terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    least, most = vectorizer.ngram_range
    lowercase, tokens, lexicon = bool(vectorizer.lowercase), *_split(vectorizer)
    return TextInput(name, tensor, lowercase, tokens, (least, most), tuple(terms), lexicon)


def _split(vectorizer: Any) -> tuple[Tokens, dict[str, float]]:
    """The kind of its tokens, and the lexicon if they are cut by one."""
    if vectorizer.analyzer == "char":
        return "char", {}
    if vectorizer.analyzer != "word":
        raise NotConvertible("the vectorizer's analyzer is neither 'word' nor 'char'")
    if isinstance(vectorizer.tokenizer, Segmenter):
        return "segment", vectorizer.tokenizer.lexicon
    if vectorizer.tokenizer is not None:
        raise NotConvertible("the vectorizer's tokenizer is not the plain one")
    if vectorizer.token_pattern != _PATTERN:
        raise NotConvertible("the vectorizer's token_pattern is not the plain one")
    return "word", {}


def weighted_counts(builder: GraphBuilder, vectorizer: Any, text: TextInput) -> str:
    """The graph's input of counts, weighted as the vectorizer does: [n, vocabulary]."""
    from onnx import TensorProto

    counts = builder.input(text.tensor, TensorProto.FLOAT, ("rows", len(text.vocabulary)))
    if not hasattr(vectorizer, "use_idf"):
        return counts
    if vectorizer.sublinear_tf:
        raise NotConvertible("the vectorizer's sublinear_tf is not the plain one")
    if vectorizer.use_idf:
        counts = builder.node("Mul", counts, builder.constant(vectorizer.idf_))
    if vectorizer.norm is None:
        return counts
    if vectorizer.norm != "l2":
        raise NotConvertible("the vectorizer's norm is not the plain one")
    squares = builder.node("Mul", counts, counts)
    total = builder.node("ReduceSum", squares, builder.constant([1], np.int64), keepdims=1)
    length = builder.node("Max", builder.node("Sqrt", total), builder.constant(_LEAST_NORM))
    return builder.node("Div", counts, length)
