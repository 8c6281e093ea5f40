"""Preprocessing as a graph: from the inputs of a signature to the matrix that estimators take.

Several pipelines may be prepared for in one graph: they share its inputs.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.serving.runtimes.dates import PARTS, DateInput
from modelyard.serving.runtimes.text import SequenceInput, TextInput, TextSpec
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.vectorizer import text_input, weighted_counts
from modelyard.training.feature_selection import kept
from modelyard.training.preprocessing import CATEGORY, DATE, MISSING, NUMBERS, TEXT
from modelyard.training.problem import Problem
from modelyard.training.sequences import TENSOR, TokenSequences

FEATURES: Final = "features"
"""The single input of a model whose features are all numbers."""
ML: Final = "ai.onnx.ml"
_UNSEEN: Final = "\x00never seen in training\x00"


class Preparation:
    """Writes the preprocessing of fitted pipelines, all of which learned from the same rows."""

    def __init__(self, builder: GraphBuilder, problem: Problem) -> None:
        self._builder = builder
        self._problem = problem
        self._columns: dict[str, str] = {}
        self._texts: dict[str, TextInput] = {}
        self._dates: dict[str, DateInput] = {}
        self._sequences: tuple[SequenceInput, ...] = ()

    @property
    def before(self) -> TextSpec | None:
        """What is made ready before the graph, if anything."""
        if not (self._texts or self._dates or self._sequences):
            return None
        return TextSpec(tuple(self._texts.values()), tuple(self._dates.values()), self._sequences)

    def matrix(self, pipeline: Any) -> str:
        """The matrix that the estimator at the pipeline's end takes: [n, width]."""
        matrix = self._prepared(pipeline.named_steps["prepare"])
        select = pipeline.named_steps.get("select")
        if select is None:
            return matrix
        places = self._builder.constant(kept(select), np.int64)
        return self._builder.node("Gather", matrix, places, axis=1)

    def _prepared(self, prepare: Any) -> str:
        if isinstance(prepare, TokenSequences):
            return self._sequence(prepare)
        builder, blocks = self._builder, list[str]()
        for part, transformer, columns in prepare.transformers_:
            if part.startswith(NUMBERS):
                blocks.append(_filled(builder, transformer, self._numbers(columns)))
            elif part.startswith(MISSING):
                blocks.append(_flags(builder, self._numbers(columns)))
            elif part.startswith(CATEGORY):
                blocks.append(_category(builder, transformer, columns[0]))
            elif part.startswith(DATE):
                blocks.append(_filled(builder, transformer, self._date(columns)))
            elif part.startswith(TEXT):
                text = self._text(transformer, columns)
                blocks.append(weighted_counts(builder, transformer, text))
        return blocks[0] if len(blocks) == 1 else builder.node("Concat", *blocks, axis=1)

    def _sequence(self, prepare: TokenSequences) -> str:
        """The numbers of a text's tokens, [n, tokens of the longest]."""
        from onnx import TensorProto

        text = msgspec.structs.replace(prepare.spec_, tensor=self._builder.prefix + TENSOR)
        self._sequences = (text,)
        return self._builder.input(text.tensor, TensorProto.INT64, ("rows", "tokens"))

    def _text(self, vectorizer: Any, column: str) -> TextInput:
        place = list(self._texts).index(column) if column in self._texts else len(self._texts)
        text = text_input(vectorizer, column, f"{self._builder.prefix}counts.{place}")
        if self._texts.setdefault(column, text) != text:
            raise NotConvertible(f"column '{column}' is split into terms in more than one way")
        return text

    def _date(self, column: str) -> str:
        """The parts of a date, missing ones among them: [n, 7]."""
        from onnx import TensorProto

        tensor = f"{self._builder.prefix}date.{len(self._dates)}"
        date = self._dates.setdefault(column, DateInput(column, tensor))
        return self._builder.input(date.tensor, TensorProto.FLOAT, ("rows", len(PARTS)))

    def _numbers(self, columns: list[str]) -> str:
        """These columns of numbers, missing ones among them: [n, k]."""
        from onnx import TensorProto

        builder = self._builder
        if not self._problem.numeric:
            return builder.node("Concat", *map(self._column, columns), axis=1)
        every = list(self._problem.features)
        features = builder.input(FEATURES, TensorProto.FLOAT, ("rows", len(every)))
        if columns == every:
            return features
        places = builder.constant([every.index(name) for name in columns], np.int64)
        return builder.node("Gather", features, places, axis=1)

    def _column(self, name: str) -> str:
        from onnx import TensorProto

        if name not in self._columns:
            values = self._builder.input(name, TensorProto.FLOAT, ("rows",))
            axis = self._builder.constant([1], np.int64)
            self._columns[name] = self._builder.node("Unsqueeze", values, axis)
        return self._columns[name]


def _flags(builder: GraphBuilder, values: str) -> str:
    """1 where the number is missing, else 0."""
    from onnx import TensorProto

    return builder.node("Cast", builder.node("IsNaN", values), to=TensorProto.FLOAT)


def _filled(builder: GraphBuilder, transformer: Any, values: str) -> str:
    fill = builder.constant(transformer.named_steps["impute"].statistics_)
    values = builder.node("Where", builder.node("IsNaN", values), fill, values)
    scaler = transformer.named_steps.get("scale")
    if scaler is None:
        return values
    if hasattr(scaler, "min_"):
        grown = builder.node("Mul", values, builder.constant(scaler.scale_))
        return builder.node("Add", grown, builder.constant(scaler.min_))
    middle = scaler.center_ if hasattr(scaler, "center_") else scaler.mean_
    centred = builder.node("Sub", values, builder.constant(middle))
    return builder.node("Div", centred, builder.constant(scaler.scale_))


def _category(builder: GraphBuilder, encoder: Any, column: str) -> str:
    """Each category's row of a table, found by its name: [n, width]."""
    import polars as pl
    from onnx import TensorProto

    seen = [str(category) for category in encoder.categories_[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = encoder.transform(pl.DataFrame({column: [*seen, _UNSEEN]}))
    rows = rows if isinstance(rows, np.ndarray) else rows.toarray()
    table, places = np.unique(rows, axis=0, return_inverse=True)
    names = builder.input(column, TensorProto.STRING, ("rows",))
    found = builder.node(
        "LabelEncoder",
        names,
        domain=ML,
        keys_strings=seen,
        values_int64s=[int(place) for place in places[:-1]],
        default_int64=int(places[-1]),
    )
    return builder.node("Gather", builder.constant(table), found, axis=0)
