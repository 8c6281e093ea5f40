"""The form that a trained pipeline is served in, beside the pipeline itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelyard.core.errors import Invalid, first_line
from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Format
from modelyard.registry.parity import Parity
from modelyard.serving.runtimes.text import TextFeatures
from modelyard.training.conversion.pipeline import Converted, convert, signature_of
from modelyard.training.parity import compare
from modelyard.training.problem import Problem
from modelyard.training.served_archive import MODEL_FILE, ServedArchive
from modelyard.training.served_graph import ServedGraph
from modelyard.training.trained import Produced

if TYPE_CHECKING:
    import polars as pl

NATIVE_FILE: Final = "native.joblib"
ONNX_FILE: Final = "model.onnx"
FEATURES_FILE: Final = "features.json"

_log = logging.getLogger(__name__)


class ServedForm(msgspec.Struct, frozen=True):
    """The files that were written, and what is known of the form that is served."""

    signature: Signature
    parity: Parity
    artifacts: tuple[Produced, ...]
    profile: Profile | None = None


def served_form(
    pipeline: Any, problem: Problem, held_out: pl.DataFrame, folder: Path
) -> ServedForm:
    """Convert the pipeline, compare both forms on the held-out rows, and write them.

    A model of a table that has no ONNX form is a result, not a failure.

    Raises:
        Invalid: a model of pictures, or of an embedder's vectors, cannot be served.
    """
    if problem.picture is not None:
        # Its runtime needs Pillow.
        from modelyard.training.served_images import serve_images

        form = _of_archive(
            lambda: serve_images(pipeline, problem, held_out, folder),
            Format.IMAGE_CLASSIFIER,
            "pictures",
        )
    elif problem.embedded:
        # Its runtime needs tokenizers.
        from modelyard.training.served_texts import serve_texts

        form = _of_archive(
            lambda: serve_texts(pipeline, problem, held_out, folder),
            Format.TEXT_CLASSIFIER,
            "texts",
        )
    else:
        form = _of_table(pipeline, problem, held_out, folder)
    import joblib

    joblib.dump(pipeline, folder / NATIVE_FILE, compress=3)
    native = Produced(NATIVE_FILE, Format.JOBLIB)
    return msgspec.structs.replace(form, artifacts=(native, *form.artifacts))


def _of_table(pipeline: Any, problem: Problem, held_out: pl.DataFrame, folder: Path) -> ServedForm:
    signature = signature_of(pipeline, problem)
    try:
        converted = convert(pipeline, problem)
        features = TextFeatures(converted.text) if converted.text is not None else None
        graph = ServedGraph(converted.graph, signature, features)
        parity = compare(graph, pipeline, problem, held_out)
    except Exception as error:  # noqa: BLE001 - converters raise errors of every kind
        _log.warning("conversion failed", exc_info=True)
        reason = f"it cannot be converted to ONNX: {first_line(error)}"
        return ServedForm(signature, Parity(False, reason=reason), ())
    return ServedForm(signature, parity, _written(converted, folder))


def _written(converted: Converted, folder: Path) -> tuple[Produced, ...]:
    (folder / ONNX_FILE).write_bytes(converted.graph)
    graph = Produced(ONNX_FILE, Format.ONNX)
    if converted.text is None:
        return (graph,)
    (folder / FEATURES_FILE).write_bytes(converted.text.dump())
    return graph, Produced(FEATURES_FILE, Format.FEATURES)


def _of_archive(serve: Callable[[], ServedArchive], kind: Format, what: str) -> ServedForm:
    try:
        served = serve()
    except Exception as error:
        _log.warning("conversion failed", exc_info=True)
        reason = first_line(error)
        raise Invalid(f"this model of {what} cannot be served: {reason}") from error
    archive = Produced(MODEL_FILE, kind)
    return ServedForm(served.signature, served.parity, (archive,), served.profile)
