"""A fitted pipeline as one ONNX graph.

The preprocessing is written here, operator by operator; skl2onnx converts the final estimator.
Tokenisation stays outside (`serving/runtimes/text.py`): the graph begins at counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.runtimes.dates import PARTS, DateInput
from modelyard.serving.runtimes.text import TextInput, TextSpec
from modelyard.training.conversion import boosted, isolation_trees, neighbours, word_vectors
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.grown import ensemble_of
from modelyard.training.conversion.vectorizer import text_input, weighted_counts
from modelyard.training.feature_selection import kept
from modelyard.training.preprocessing import CATEGORY, DATE, MISSING, NUMBERS, TEXT
from modelyard.training.problem import Problem, Role
from modelyard.training.sequences import TENSOR, TokenSequences
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.labelled import LabelledClassifier

if TYPE_CHECKING:
    import onnx

OPSET: Final = 18
LEAST_OPSET: Final = 13
ML_OPSET: Final = 3
IR_VERSION: Final = 8
ML: Final = "ai.onnx.ml"
FEATURES: Final = "features"
"""The single input of a model whose features are all numbers."""

_NETWORKS: Final = frozenset({"NetworkClassifier", "NetworkRegressor", "Tagger", "Translator"})
_UNSEEN: Final = "\x00never seen in training\x00"


class Converted(msgspec.Struct, frozen=True):
    """The served form: the graph as bytes, and what is made ready in front of it, if anything."""

    graph: bytes
    text: TextSpec | None


def signature_of(pipeline: Any, problem: Problem) -> Signature:
    """What the model takes and gives, in whichever form it is served."""
    return Signature(_inputs(problem), _outputs(pipeline, problem))


def _inputs(problem: Problem) -> tuple[TensorSpec, ...]:
    if problem.numeric:
        columns = tuple(problem.features)
        return (TensorSpec(FEATURES, Datatype.FP32, (-1, len(columns)), columns, nullable=True),)
    return tuple(
        TensorSpec(
            name,
            Datatype.FP32 if role is Role.NUMBER else Datatype.BYTES,
            (-1,),
            nullable=True,
        )
        for name, role in problem.features.items()
    )


def _outputs(pipeline: Any, problem: Problem) -> tuple[TensorSpec, ...]:
    if problem.task is TaskKind.TAGGING:
        return (TensorSpec(_free("tags", problem), Datatype.BYTES, (-1, -1)),)
    if problem.task is TaskKind.TRANSLATION:
        return (TensorSpec(_free("translation", problem), Datatype.BYTES, (-1,)),)
    if problem.task is TaskKind.REGRESSION:
        return (TensorSpec(_free("prediction", problem), Datatype.FP32, (-1,)),)
    if problem.task is TaskKind.CLUSTERING:
        clusters = pipeline.named_steps["model"].n_clusters
        cluster = TensorSpec(_free("label", problem), Datatype.INT64, (-1,))
        return cluster, TensorSpec(_free("distances", problem), Datatype.FP32, (-1, clusters))
    if problem.task is TaskKind.ANOMALY_DETECTION:
        verdict = TensorSpec(_free("label", problem), Datatype.INT64, (-1,))
        return verdict, TensorSpec(_free("score", problem), Datatype.FP32, (-1,))
    classes = pipeline.classes_
    kind = Datatype.INT64 if classes.dtype.kind == "i" else Datatype.BYTES
    label = TensorSpec(_free("label", problem), kind, (-1,))
    if not hasattr(pipeline, "predict_proba"):
        return (label,)
    names = tuple(str(one) for one in classes)
    shape = (-1, len(names))
    return label, TensorSpec(_free("probabilities", problem), Datatype.FP32, shape, names)


def _free(name: str, problem: Problem) -> str:
    """A graph cannot give a tensor out under the name of one that it takes."""
    while not problem.numeric and name in problem.features:
        name = f"predicted_{name}"
    return name


def convert(pipeline: Any, problem: Problem) -> Converted:
    """Write the pipeline as ONNX.

    Raises whatever the converter raises for an estimator that it does not know.
    """
    prepare, model = pipeline.named_steps["prepare"], pipeline.named_steps["model"]
    signature = signature_of(pipeline, problem)
    names = [spec.name for spec in (*signature.inputs, *signature.outputs)]
    builder = GraphBuilder([*problem.features, *names])
    matrix, before = _preprocess(builder, prepare, problem)
    select = pipeline.named_steps.get("select")
    if select is not None:
        places = builder.constant(kept(select), np.int64)
        matrix = builder.node("Gather", matrix, places, axis=1)
    inner, rescale = _target_scale(model)
    outputs, opsets = predict(builder, inner, matrix)
    _give(builder, outputs, signature, rescale)
    graph = builder.model(_opsets(opsets), IR_VERSION)
    return Converted(graph.SerializeToString(), before)


def _preprocess(
    builder: GraphBuilder, prepare: Any, problem: Problem
) -> tuple[str, TextSpec | None]:
    """The matrix that the estimator takes, and what is made ready before the graph, if anything."""
    if isinstance(prepare, TokenSequences):
        return _sequence(builder, prepare)
    blocks: list[str] = []
    numbers = _Numbers(builder, problem)
    texts: list[TextInput] = []
    dates: list[DateInput] = []
    for part, transformer, columns in prepare.transformers_:
        if part.startswith(NUMBERS):
            blocks.append(_filled(builder, transformer, numbers.matrix(columns)))
        elif part == MISSING:
            blocks.append(_flags(builder, numbers.matrix(columns)))
        elif part.startswith(CATEGORY):
            blocks.append(_category(builder, transformer, columns[0]))
        elif part.startswith(DATE):
            date = DateInput(columns, f"{builder.prefix}date.{len(dates)}")
            dates.append(date)
            blocks.append(_date(builder, transformer, date))
        elif part.startswith(TEXT):
            text = text_input(transformer, columns, f"{builder.prefix}counts.{len(texts)}")
            texts.append(text)
            blocks.append(weighted_counts(builder, transformer, text))
    matrix = blocks[0] if len(blocks) == 1 else builder.node("Concat", *blocks, axis=1)
    before = TextSpec(tuple(texts), tuple(dates)) if texts or dates else None
    return matrix, before


def _sequence(builder: GraphBuilder, prepare: TokenSequences) -> tuple[str, TextSpec]:
    """The numbers of a text's tokens, [n, tokens of the longest]."""
    from onnx import TensorProto

    text = msgspec.structs.replace(prepare.spec_, tensor=builder.prefix + TENSOR)
    numbers = builder.input(text.tensor, TensorProto.INT64, ("rows", "tokens"))
    return numbers, TextSpec((), (), (text,))


class _Numbers:
    """The inputs that are numbers, each declared once."""

    def __init__(self, builder: GraphBuilder, problem: Problem) -> None:
        self._builder = builder
        self._problem = problem
        self._declared: dict[str, str] = {}

    def matrix(self, columns: list[str]) -> str:
        """These columns: [n, k]."""
        if not self._problem.numeric:
            separate = [self._column(name) for name in columns]
            return self._builder.node("Concat", *separate, axis=1)
        every = list(self._problem.features)
        if not self._declared:
            self._declared[FEATURES] = self._input(FEATURES, ("rows", len(every)))
        if columns == every:
            return FEATURES
        places = [every.index(name) for name in columns]
        wanted = self._builder.constant(places, np.int64)
        return self._builder.node("Gather", FEATURES, wanted, axis=1)

    def _column(self, name: str) -> str:
        if name not in self._declared:
            values, axis = self._input(name, ("rows",)), self._builder.constant([1], np.int64)
            self._declared[name] = self._builder.node("Unsqueeze", values, axis)
        return self._declared[name]

    def _input(self, name: str, shape: tuple[int | str, ...]) -> str:
        from onnx import TensorProto

        return self._builder.input(name, TensorProto.FLOAT, shape)


def _flags(builder: GraphBuilder, values: str) -> str:
    """1 where the number is missing, else 0."""
    from onnx import TensorProto

    return builder.node("Cast", builder.node("IsNaN", values), to=TensorProto.FLOAT)


def _date(builder: GraphBuilder, transformer: Any, date: DateInput) -> str:
    """The parts of a date, as numbers are: [n, 7]."""
    from onnx import TensorProto

    values = builder.input(date.tensor, TensorProto.FLOAT, ("rows", len(PARTS)))
    return _filled(builder, transformer, values)


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


def _target_scale(model: Any) -> tuple[Any, tuple[float, float] | None]:
    """The estimator proper, and scale and mean of the target if it was scaled."""
    if not hasattr(model, "transformer_"):
        return model, None
    scaler = model.transformer_
    return model.regressor_, (float(scaler.scale_[0]), float(scaler.mean_[0]))


def predict(
    builder: GraphBuilder, estimator: Any, matrix: str
) -> tuple[list[str], Sequence[onnx.OperatorSetIdProto]]:
    """Add the estimator: its answers to the matrix [n, width], in the signature's order, and the
    operator sets that they need.
    """
    classes = list(getattr(estimator, "classes_", ()))
    bare = estimator.classifier if isinstance(estimator, LabelledClassifier) else estimator
    ensemble = ensemble_of(bare)
    if ensemble is not None:
        return list(boosted.answers(builder, ensemble, classes, matrix).values()), ()
    if type(estimator).__name__ == isolation_trees.KIND:
        return list(isolation_trees.answers(builder, estimator, matrix).values()), ()
    if type(estimator).__name__ in neighbours.KINDS:
        return list(neighbours.answers(builder, estimator, matrix).values()), ()
    if type(estimator).__name__ in _NETWORKS:
        from onnx import helper

        from modelyard.training.conversion import network_graph, sequence_graph

        if hasattr(estimator, "steps_"):
            from modelyard.training.conversion import translator_graph

            said = translator_graph.texts(builder, estimator, matrix)
            return [said], [helper.make_opsetid("", translator_graph.OPSET)]
        if hasattr(estimator, "tags_"):
            tags = sequence_graph.tags(builder, estimator, matrix)
            return [tags], [helper.make_opsetid("", OPSET)]
        if sequence_graph.reads_sequences(estimator.module):
            outputs = sequence_graph.outputs(builder, estimator.module, matrix)
            answers = network_graph.answers_of(builder, estimator, outputs)
            return list(answers.values()), [helper.make_opsetid("", OPSET)]
        return list(network_graph.answers(builder, estimator, matrix).values()), ()
    if word_vectors.begins(estimator):
        matrix = word_vectors.mean(builder, estimator[0], matrix)
        converted = _convert_estimator(estimator[1:], estimator[0].vector_size)
    else:
        converted = _convert_estimator(estimator, int(estimator.n_features_in_))
    return builder.splice(converted.graph, matrix), converted.opset_import


def _convert_estimator(estimator: Any, width: int) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    options = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
    with warnings.catch_warnings():
        # It reads attributes that scikit-learn is about to rename.
        warnings.simplefilter("ignore")
        converted: onnx.ModelProto = convert_sklearn(
            estimator,
            initial_types=[("matrix", FloatTensorType([None, width]))],
            options=options,
            target_opset={"": OPSET, ML: ML_OPSET},
        )
    return converted


def _give(
    builder: GraphBuilder,
    outputs: list[str],
    signature: Signature,
    rescale: tuple[float, float] | None,
) -> None:
    from onnx import TensorProto

    elements = {
        Datatype.FP32: TensorProto.FLOAT,
        Datatype.INT64: TensorProto.INT64,
        Datatype.BYTES: TensorProto.STRING,
    }
    for spec, output in zip(signature.outputs, outputs, strict=False):
        source = output
        if rescale is not None:
            scaled = builder.node("Mul", source, builder.constant(rescale[0]))
            source = builder.node("Add", scaled, builder.constant(rescale[1]))
        if len(spec.shape) == 1:
            source = builder.node("Reshape", source, builder.constant([-1], np.int64))
        shape = ["tokens" if size == -1 else size for size in spec.shape[1:]]
        builder.output(spec.name, source, elements[spec.datatype], ["rows", *shape])


def _opsets(stated: Sequence[onnx.OperatorSetIdProto]) -> list[onnx.OperatorSetIdProto]:
    from onnx import helper

    # The converter states the least version that its nodes need; ours may need a later one.
    needed = {"": LEAST_OPSET, ML: ML_OPSET}
    for one in stated:
        needed[one.domain] = max(one.version, needed.get(one.domain, 1))
    return [helper.make_opsetid(domain, version) for domain, version in needed.items()]
