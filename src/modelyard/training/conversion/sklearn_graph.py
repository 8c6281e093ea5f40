"""Estimators of scikit-learn's kind as ONNX.

A pipeline is cut in up to three: a text vectorizer in front, which becomes counts outside the graph
and a weighting inside; whatever skl2onnx converts; and trees at the end, which it does not know or
writes wrongly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelyard.core.tensors import Datatype, Signature, Tensor
from modelyard.serving.runtimes.answers import LABEL, PREDICTION, PROBABILITIES, TRANSFORMED
from modelyard.serving.runtimes.estimator import feature_names
from modelyard.serving.runtimes.text import TextInput, TextSpec
from modelyard.training.conversion import boosted
from modelyard.training.conversion.convertible import Graph, NotConvertible
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.grown import ensemble_of
from modelyard.training.conversion.outputs import ML_OPSET, OPSET, element, finish, give
from modelyard.training.conversion.trees import Ensemble
from modelyard.training.conversion.vectorizer import text_input, weighted_counts

if TYPE_CHECKING:
    import onnx

_MATRIX: Final = "matrix"


def to_onnx(estimator: Any, signature: Signature, _rows: Mapping[str, Tensor]) -> Iterator[Graph]:
    """The estimator as a graph; then again with preprocessing in FP64, where there is any.

    scikit-learn prepares numbers in FP64. Trees behind a scaler can tell: their thresholds are
    values that they were trained on, and the last bit decides the side.

    Raises:
        NotConvertible: something in it has no counterpart that is known to be right. Whatever
            skl2onnx raises comes through as well.
    """
    steps = _steps(estimator)
    yield _graph(steps, signature, Datatype.FP32)
    if len(steps) > 1:
        yield _graph(steps, signature, Datatype.FP64)


def _graph(steps: Sequence[Any], signature: Signature, precision: Datatype) -> Graph:
    conversion = _Conversion(signature, precision)
    text = conversion.begin(steps)
    *middle, last = steps[1:] if text else steps
    if middle:
        conversion.prepare(_joined(middle), names=not text)
    ensemble = ensemble_of(last)
    if ensemble is None:
        conversion.predict(last, names=not (text or middle))
    else:
        conversion.grow(ensemble, last, sparse=bool(middle) and _gives_sparse(middle[-1]))
    give(conversion.builder, conversion.answers, signature)
    data = finish(conversion.builder, conversion.opsets)
    return Graph(data, TextSpec(text).dump() if text else None)


def _steps(estimator: Any) -> list[Any]:
    """The steps of the pipeline, without those that pass everything through."""
    if hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    steps = [step for _, step in getattr(estimator, "steps", ())] or [estimator]
    return [step for step in steps if step is not None and not isinstance(step, str)]


def _joined(steps: Sequence[Any]) -> Any:
    from sklearn.pipeline import make_pipeline

    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def _gives_sparse(transformer: Any) -> bool:
    """Whether it hands on a sparse matrix, as encoders of categories do unless told not to."""
    if hasattr(transformer, "sparse_output_"):
        return bool(transformer.sparse_output_)
    return bool(getattr(transformer, "sparse_output", False))


class _Conversion:
    """A graph in the making. `_source` is the matrix that the next part is fed from."""

    def __init__(self, signature: Signature, precision: Datatype) -> None:
        self.signature = signature
        self.builder = GraphBuilder([s.name for s in (*signature.inputs, *signature.outputs)])
        self.answers: dict[str, str] = {}
        self.opsets: list[onnx.OperatorSetIdProto] = []
        self._precision = precision
        self._source = ""
        self._columns: dict[str, tuple[str, Datatype]] = {}

    def begin(self, steps: Sequence[Any]) -> tuple[TextInput, ...]:
        """Declare the inputs; return the texts that are counted in front of the graph."""
        inputs = self.signature.inputs
        if len(inputs) == 1 and inputs[0].datatype is Datatype.BYTES:
            text = text_input(steps[0], inputs[0].name, f"{self.builder.prefix}counts")
            self._source = weighted_counts(self.builder, steps[0], text)
            return (text,)
        for spec in inputs:
            if spec.datatype not in (Datatype.FP32, Datatype.BYTES):
                raise NotConvertible(f"input '{spec.name}' is {spec.datatype}; FP32 is converted")
            shape: list[int | str] = ["rows", *spec.shape[1:]]
            name = self.builder.input(spec.name, element(spec.datatype), shape)
            self._columns[spec.name] = name, spec.datatype
        if len(inputs) == 1 and len(inputs[0].shape) == 2:
            self._source = inputs[0].name
            self._columns = {}
        return ()

    def prepare(self, transformer: Any, *, names: bool) -> None:
        """Add preprocessing, in the precision asked for; what follows is fed in FP32."""
        (matrix, *_) = self._splice(transformer, self._precision, names=names)
        self._source = self._cast(matrix, Datatype.FP32)
        self._columns = {}

    def predict(self, estimator: Any, *, names: bool) -> None:
        """Add an estimator that skl2onnx knows, at the end."""
        outputs = self._splice(estimator, Datatype.FP32, names=names)
        self.answers = dict(zip(_answers(estimator), outputs, strict=False))

    def grow(self, ensemble: Ensemble, estimator: Any, *, sparse: bool) -> None:
        """Add boosted trees at the end. XGBoost takes the gaps of a sparse matrix for missing."""
        if not self._source:
            raise NotConvertible("trees that take columns of several types are not converted")
        if sparse and hasattr(estimator, "get_booster"):
            zero = self.builder.node("Equal", self._source, self.builder.constant(0.0))
            gap = self.builder.constant(np.nan)
            self._source = self.builder.node("Where", zero, gap, self._source)
        classes = list(estimator.classes_) if hasattr(estimator, "predict_proba") else []
        self.answers = boosted.answers(self.builder, ensemble, classes, self._source)

    def _splice(self, estimator: Any, precision: Datatype, *, names: bool) -> list[str]:
        """Add what skl2onnx makes of the estimator; return the names of its outputs."""
        columns: tuple[str, ...] = ()
        if names and feature_names(estimator):
            columns = tuple(self._columns) or self.signature.inputs[0].columns
        if columns and (self._columns or _by_name(estimator)):
            types = [(name, self._type_of(name, precision), 1) for name in columns]
            sources = [
                self._cast(self._column(place, name), kind)
                for place, (name, kind, _) in enumerate(types)
            ]
        elif self._columns:
            raise NotConvertible("columns of several types are converted if they have names")
        else:
            types = [(_MATRIX, precision, int(estimator.n_features_in_))]
            sources = [self._cast(self._source, precision)]
        converted = _convert(estimator, types)
        if len(converted.graph.input) != len(sources):
            raise NotConvertible("the converter leaves out columns that the model does not use")
        self.opsets.extend(converted.opset_import)
        return self.builder.splice(converted.graph, *sources)

    def _type_of(self, column: str, precision: Datatype) -> Datatype:
        if self._columns and self._columns[column][1] is Datatype.BYTES:
            return Datatype.BYTES
        return precision

    def _column(self, place: int, name: str) -> str:
        """One column as [n, 1]."""
        if self._columns:
            axis = self.builder.constant([1], np.int64)
            return self.builder.node("Unsqueeze", self._columns[name][0], axis)
        index = self.builder.constant([place], np.int64)
        return self.builder.node("Gather", self._source, index, axis=1)

    def _cast(self, source: str, datatype: Datatype) -> str:
        if self._precision is Datatype.FP32 or datatype is Datatype.BYTES:
            return source
        return self.builder.node("Cast", source, to=element(datatype))


def _by_name(estimator: Any) -> bool:
    """Whether a part of it chooses columns by name."""
    return any(hasattr(step, "transformers_") for step in _steps(estimator))


def _answers(estimator: Any) -> tuple[str, ...]:
    """What the converted graph gives, in order."""
    if not hasattr(estimator, "predict"):
        return (TRANSFORMED,)
    if hasattr(estimator, "classes_") or hasattr(estimator, "predict_proba"):
        return LABEL, PROBABILITIES
    # Clusters have labels_, detectors of outliers an offset_: both answer with whole numbers.
    labels = hasattr(estimator, "labels_") or hasattr(estimator, "offset_")
    return (LABEL,) if labels else (PREDICTION,)


def _convert(estimator: Any, types: Sequence[tuple[str, Datatype, int]]) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    kinds = {
        Datatype.FP32: FloatTensorType,
        Datatype.FP64: DoubleTensorType,
        Datatype.BYTES: StringTensorType,
    }
    with warnings.catch_warnings():
        # It reads attributes that scikit-learn is about to rename.
        warnings.simplefilter("ignore")
        converted: onnx.ModelProto = convert_sklearn(
            estimator,
            initial_types=[(name, kinds[kind]([None, width])) for name, kind, width in types],
            options={"zipmap": False} if hasattr(estimator, "predict_proba") else None,
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        )
    return converted
