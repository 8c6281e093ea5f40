"""A fitted pipeline, or an ensemble of them, as one ONNX graph.

The preprocessing is written operator by operator (`preparation.py`); skl2onnx converts the final
estimator. Tokenisation stays outside (`serving/runtimes/text.py`): the graph begins at counts.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.serving.runtimes.text import TextSpec
from modelyard.training.conversion import boosted, isolation_trees, neighbours, word_vectors
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.grown import ensemble_of
from modelyard.training.conversion.preparation import FEATURES, ML, Preparation
from modelyard.training.conversion.trees import likeliest
from modelyard.training.ensemble import ClassifierEnsemble, Ensemble
from modelyard.training.problem import Problem, Role
from modelyard.training.spec import TaskKind
from modelyard.training.trainers.labelled import LabelledClassifier

if TYPE_CHECKING:
    import onnx

OPSET: Final = 18
LEAST_OPSET: Final = 13
ML_OPSET: Final = 3
IR_VERSION: Final = 8

_NETWORKS: Final = frozenset({"NetworkClassifier", "NetworkRegressor", "Tagger", "Translator"})


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
    signature = signature_of(pipeline, problem)
    names = [spec.name for spec in (*signature.inputs, *signature.outputs)]
    builder = GraphBuilder([*problem.features, *names])
    preparation = Preparation(builder, problem)
    if isinstance(pipeline, Ensemble):
        outputs, opsets = _combined(builder, preparation, pipeline)
    else:
        outputs, opsets = _answers(builder, preparation, pipeline)
    _give(builder, outputs, signature)
    graph = builder.model(_opsets(opsets), IR_VERSION)
    return Converted(graph.SerializeToString(), preparation.before)


def _answers(
    builder: GraphBuilder, preparation: Preparation, pipeline: Any
) -> tuple[list[str], Sequence[onnx.OperatorSetIdProto]]:
    """What one pipeline answers, and the operator sets that it needs."""
    model, rescale = _target_scale(pipeline.named_steps["model"])
    outputs, opsets = predict(builder, model, preparation.matrix(pipeline))
    if rescale is not None:
        scale, mean = rescale
        scaled = builder.node("Mul", outputs[0], builder.constant(scale))
        outputs = [builder.node("Add", scaled, builder.constant(mean))]
    return outputs, opsets


def _combined(
    builder: GraphBuilder, preparation: Preparation, ensemble: Ensemble
) -> tuple[list[str], Sequence[onnx.OperatorSetIdProto]]:
    """What the members answer together, as the ensemble itself combines it."""
    classes = list(ensemble.classes_) if isinstance(ensemble, ClassifierEnsemble) else []
    shape = builder.constant([-1, len(classes) or 1], np.int64)
    said: list[str] = []
    opsets: list[onnx.OperatorSetIdProto] = []
    for member in ensemble.members:
        outputs, needed = _answers(builder, preparation, member)
        said.append(builder.node("Reshape", outputs[1 if classes else 0], shape))
        opsets += needed
    if ensemble.head is not None:
        matrix = builder.node("Concat", *said, axis=1)
        outputs, needed = predict(builder, ensemble.head, matrix)
        return outputs, [*opsets, *needed]
    mean = builder.node("Mean", *said)
    if not classes:
        return [mean], opsets
    label = boosted.labelled(builder, likeliest(builder, mean), classes)
    return [label, mean], opsets


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
    return _by_skl2onnx(builder, estimator, classes, matrix)


def _by_skl2onnx(
    builder: GraphBuilder, estimator: Any, classes: Sequence[Any], matrix: str
) -> tuple[list[str], Sequence[onnx.OperatorSetIdProto]]:
    if word_vectors.begins(estimator):
        matrix = word_vectors.mean(builder, estimator[0], matrix)
        converted = _convert_estimator(estimator[1:], estimator[0].vector_size)
        return builder.splice(converted.graph, matrix), converted.opset_import
    width = int(estimator.n_features_in_)
    if type(estimator).__name__ == "GradientBoostingClassifier":
        # Of two classes ONNX Runtime asks for more than half where no leaf is negative, although
        # what leaves add up to is no probability yet.
        converted = _convert_estimator(estimator, width)
        _, likely = builder.splice(converted.graph, matrix)
        label = boosted.labelled(builder, likeliest(builder, likely), classes)
        return [label, likely], converted.opset_import
    if not _beyond_32_bits(classes):
        converted = _convert_estimator(estimator, width)
        return builder.splice(converted.graph, matrix), converted.opset_import
    numbered = copy.copy(estimator)
    numbered.classes_ = np.arange(len(classes))
    converted = _convert_estimator(numbered, width)
    place, *others = builder.splice(converted.graph, matrix)
    return [boosted.labelled(builder, place, classes), *others], converted.opset_import


def _beyond_32_bits(classes: Sequence[Any]) -> bool:
    """Whether skl2onnx would cut the classes short."""
    return any(isinstance(one, int | np.integer) and not -(2**31) <= one < 2**31 for one in classes)


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


def _give(builder: GraphBuilder, outputs: Sequence[str], signature: Signature) -> None:
    from onnx import TensorProto

    elements = {
        Datatype.FP32: TensorProto.FLOAT,
        Datatype.INT64: TensorProto.INT64,
        Datatype.BYTES: TensorProto.STRING,
    }
    for spec, output in zip(signature.outputs, outputs, strict=False):
        source = output
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
