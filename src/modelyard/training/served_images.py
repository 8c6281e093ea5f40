"""A pipeline that tells pictures apart, as the archive that an image classifier is served from.

It is what an import of such a network would be: the graph, `preprocessor_config.json` and labels.
The graph begins at pixels from 0 to 255, as the preparation makes them.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Format
from modelyard.registry.parity import Parity
from modelyard.serving.runtimes.contract import MODEL, RuntimeManifest
from modelyard.serving.runtimes.image_classifier import IMAGE, LABEL, LABELS, SCORES, load
from modelyard.training.conversion.convertible import NotConvertible
from modelyard.training.conversion.graph import GraphBuilder
from modelyard.training.conversion.outputs import finish
from modelyard.training.conversion.pipeline import predict
from modelyard.training.parity import TOLERANCE, verdict
from modelyard.training.pixels import BILINEAR, PictureSize
from modelyard.training.preprocessing import PIXELS
from modelyard.training.served_archive import MODEL_FILE, ServedArchive

if TYPE_CHECKING:
    import polars as pl

    from modelyard.training.problem import Problem

MAX_COMPARED: Final = 200
"""Held-out pictures that both forms are asked with."""
_PIXELS: Final = "pixels"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def serve_images(
    pipeline: Any, problem: Problem, held_out: pl.DataFrame, folder: Path
) -> ServedArchive:
    """Write the archive to the folder, open it as a replica does, and ask both forms.

    Raises:
        NotConvertible: the estimator gives no probabilities, or has no graph.
    """
    if problem.picture is None or not hasattr(pipeline, "predict_proba"):
        raise NotConvertible("pictures are told apart by algorithms that give probabilities")
    labels = [str(one) for one in pipeline.classes_]
    graph = _graph(pipeline, problem.picture)
    (folder / MODEL_FILE).write_bytes(_archive(graph, problem.picture, labels))
    model = load(folder, RuntimeManifest(Format.IMAGE_CLASSIFIER.value, {MODEL: MODEL_FILE}))
    try:
        rows = held_out.head(MAX_COMPARED)
        (column,) = problem.features
        files = np.array(rows.get_column(column).to_list(), dtype=np.object_)
        answer = model.infer({IMAGE: files})
        profile = Profile(
            model.memory_bytes, model.call_seconds, model.row_seconds, model.stackable
        )
        return ServedArchive(
            _signature(model.signature), _compared(pipeline, rows, answer), profile
        )
    finally:
        model.unload()


def _signature(told: Signature | None) -> Signature:
    if told is None:
        raise NotConvertible("the served form does not tell what it takes")
    return told


def _compared(pipeline: Any, rows: pl.DataFrame, answer: Any) -> Parity:
    """The best few labels of each picture, and their scores, against the pipeline's."""
    native = pipeline.predict_proba(rows)
    place = {str(one): at for at, one in enumerate(pipeline.classes_)}
    places = np.vectorize(place.__getitem__, otypes=[np.intp])(answer[LABELS])
    largest = float(np.abs(np.take_along_axis(native, places, axis=1) - answer[SCORES]).max())
    best = np.sort(native, axis=1)
    ties = best[:, -1] - best[:, -2] <= 2 * TOLERANCE
    same = np.array([str(one) for one in pipeline.predict(rows)]) == answer[LABEL].astype(str)
    return verdict(float((same | ties).mean()), largest, rows.height)


def _graph(pipeline: Any, size: PictureSize) -> bytes:
    from onnx import TensorProto

    scaled = pipeline.named_steps["prepare"].named_transformers_[PIXELS].kw_args["scaled"]
    builder = GraphBuilder([_PIXELS])
    shape = ("rows", size.channels, size.height, size.width)
    source = builder.input(_PIXELS, TensorProto.FLOAT, shape)
    matrix = builder.node("Flatten", source, axis=1)
    if scaled:
        matrix = builder.node("Div", matrix, builder.constant(255.0))
    model = pipeline.named_steps["model"]
    outputs, opsets = predict(builder, model, matrix)
    classes = len(pipeline.classes_)
    builder.output("probabilities", outputs[1], TensorProto.FLOAT, ["rows", classes])
    return finish(builder, opsets)


def _archive(graph: bytes, size: PictureSize, labels: list[str]) -> bytes:
    """The same bytes for the same model."""
    preparation = {
        "do_resize": True,
        "size": {"height": size.height, "width": size.width},
        "resample": BILINEAR,
        "do_rescale": False,
        "do_normalize": False,
        "image_mean": [0.0] * size.channels,
    }
    files = {
        "config.json": msgspec.json.encode({"id2label": labels}),
        "model.onnx": graph,
        "preprocessor_config.json": msgspec.json.encode(preparation),
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return data.getvalue()
