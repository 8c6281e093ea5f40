"""A linear model on an embedder's vectors, as the archive that a text classifier is served from.

It is what an import of such a network would be: the embedder's own files, with the linear model at
the end of its graph, and labels, or `problem_type` `regression`, in its `config.json`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.profile import Profile
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.registry.artifact import Format
from modelyard.registry.parity import Parity
from modelyard.serving.runtimes.bundle import CONFIG_FILE, GRAPH_FILE
from modelyard.serving.runtimes.contract import MODEL, RuntimeManifest
from modelyard.serving.runtimes.labels import ID2LABEL, LABELS_FILE
from modelyard.serving.runtimes.scores import PROBLEM, REGRESSION
from modelyard.training.conversion.embedder_graph import LinearHead, with_head
from modelyard.training.embedding import EMBEDDER_FILE, open_embedder
from modelyard.training.parity import TOLERANCE, verdict
from modelyard.training.rows import Array
from modelyard.training.served_archive import MODEL_FILE, ServedArchive
from modelyard.training.spec import TaskKind

if TYPE_CHECKING:
    import polars as pl

    from modelyard.serving.runtimes.embedder import Embedder
    from modelyard.training.problem import Problem

MAX_COMPARED: Final = 200
"""Held-out texts that both forms are asked with."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def serve_texts(
    pipeline: Any, problem: Problem, held_out: pl.DataFrame, folder: Path
) -> ServedArchive:
    """Write the archive to the folder, open it as a replica does, and ask both forms.

    Raises:
        NotConvertible: the embedder pools its tokens in a way that has no graph.
    """
    from modelyard.serving.runtimes.text_classifier import load

    embedder = open_embedder(folder)
    model = pipeline.named_steps["model"]
    head = _head(model, problem.task, unit=embedder.unit)
    _write(folder, embedder, head, _settings(model, problem.task))
    signature = _signature(model, problem)
    manifest = RuntimeManifest(Format.TEXT_CLASSIFIER.value, {MODEL: MODEL_FILE}, signature)
    served = load(folder, manifest)
    try:
        (column,) = problem.features
        texts = held_out.head(MAX_COMPARED).get_column(column).to_list()
        answer = served.infer({column: np.array(texts, dtype=np.object_)})
        # Of texts in the same batches: an embedder of eight bits scales each batch by its values.
        vectors, _ = embedder.embed(texts)
        parity = _compared(model, vectors, answer, signature)
        profile = Profile(
            served.memory_bytes, served.call_seconds, served.row_seconds, served.stackable
        )
        return ServedArchive(signature, parity, profile)
    finally:
        served.unload()


def _head(model: Any, task: TaskKind, *, unit: bool) -> LinearHead:
    weights = np.atleast_2d(model.coef_).T
    bias = np.atleast_1d(model.intercept_)
    if task is TaskKind.CLASSIFICATION and weights.shape[1] == 1:
        # Two classes share one sum: that of the other class is zero.
        weights = np.hstack([np.zeros_like(weights), weights])
        bias = np.array([0.0, bias[0]])
    return LinearHead(weights, bias, unit=unit)


def _settings(model: Any, task: TaskKind) -> dict[str, Any]:
    if task is TaskKind.REGRESSION:
        return {PROBLEM: REGRESSION}
    return {
        PROBLEM: "single_label_classification",
        ID2LABEL: {str(at): str(one) for at, one in enumerate(model.classes_)},
    }


def _signature(model: Any, problem: Problem) -> Signature:
    (column,) = problem.features
    text = TensorSpec(column, Datatype.BYTES, (-1,))
    if problem.task is TaskKind.REGRESSION:
        return Signature((text,), (TensorSpec("prediction", Datatype.FP32, (-1,)),))
    labels = tuple(str(one) for one in model.classes_)
    return Signature(
        (text,),
        (
            TensorSpec("label", Datatype.BYTES, (-1,)),
            TensorSpec("score", Datatype.FP32, (-1,)),
            TensorSpec("probabilities", Datatype.FP32, (-1, len(labels)), columns=labels),
        ),
    )


def _write(folder: Path, embedder: Embedder, head: LinearHead, settings: dict[str, Any]) -> None:
    """The same bytes for the same model."""
    left_out = (GRAPH_FILE, CONFIG_FILE, LABELS_FILE)
    with (
        zipfile.ZipFile(folder / EMBEDDER_FILE) as given,
        zipfile.ZipFile(folder / MODEL_FILE, "w") as made,
    ):
        graph = with_head(given.read(GRAPH_FILE), embedder.output, embedder.pooling, head)
        config: dict[str, Any] = {}
        if CONFIG_FILE in given.namelist():
            config = msgspec.json.decode(given.read(CONFIG_FILE), type=dict[str, Any])
        made.writestr(zipfile.ZipInfo(GRAPH_FILE, _EPOCH), graph)
        made.writestr(
            zipfile.ZipInfo(CONFIG_FILE, _EPOCH), msgspec.json.encode({**config, **settings})
        )
        for part in sorted(given.infolist(), key=lambda part: part.filename):
            if not part.is_dir() and part.filename not in left_out:
                made.writestr(zipfile.ZipInfo(part.filename, _EPOCH), given.read(part))


def _compared(model: Any, vectors: Array, answer: Any, signature: Signature) -> Parity:
    if len(signature.outputs) == 1:
        native, found = model.predict(vectors), answer["prediction"]
        scale = np.maximum(np.abs(native), 1.0)
        return verdict(1.0, float((np.abs(native - found) / scale).max()), len(native))
    native = model.predict_proba(vectors)
    largest = float(np.abs(native - answer["probabilities"]).max())
    best = np.sort(native, axis=1)
    ties = best[:, -1] - best[:, -2] <= 2 * TOLERANCE
    same = np.array([str(one) for one in model.predict(vectors)]) == answer["label"].astype(str)
    return verdict(float((same | ties).mean()), largest, len(native))
