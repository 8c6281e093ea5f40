"""Each algorithm of the catalogue: served as what, how near to its library, and how much faster.

`python -m bench.served_forms` writes the lines as JSON, for who starts it with one thread.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.samples import quick_parameters, sample_for
from modelyard.core.tasks import Progress
from modelyard.registry.artifact import Format
from modelyard.training.spec import TaskKind, TrainSpec
from modelyard.training.table import read
from modelyard.training.trainers.algorithm import Algorithm, Reads
from modelyard.training.trainers.catalogue import ALGORITHMS

if TYPE_CHECKING:
    import polars as pl

ROWS: Final = (1, 256)
_SECONDS: Final = 0.25
"""How long each form is asked, in turns with the other."""
_TURNS: Final = 5


class ServedForm(msgspec.Struct, frozen=True):
    """One line of the table. Times are medians in seconds a call, by number of rows."""

    algorithm: str
    task: TaskKind
    form: str
    agreed: bool
    difference: float | None
    native: dict[int, float]
    served: dict[int, float]
    reason: str = ""


def served_forms() -> Iterator[ServedForm]:
    """Train each available algorithm for each of its tasks, and measure both of its forms."""
    for algorithm in ALGORITHMS.values():
        # With an embedder it is the embedder that takes the time, in both forms.
        if algorithm.available and algorithm.reads is not Reads.SENTENCE:
            for task in sorted(algorithm.tasks):
                with tempfile.TemporaryDirectory(prefix="modelyard-bench-train-") as folder:
                    yield _measured(algorithm, task, Path(folder))


def _measured(algorithm: Algorithm, task: TaskKind, folder: Path) -> ServedForm:
    from modelyard.training.training import train

    sample = sample_for(algorithm, task)
    parameters = quick_parameters(algorithm)
    spec = TrainSpec(
        "table.parquet", sample.target, algorithm.name, task=task, parameters=parameters
    )
    file = sample.write(folder)
    table = read(file, file.name, folder).frame
    trained = train(table, spec, folder, _silent)
    forms = {one.format: folder / one.name for one in trained.artifacts}
    native, served = _native(forms, table, spec), _served(forms, table, spec, trained.signature)
    times = {rows: _in_turns(native(rows), served(rows)) for rows in ROWS} if served else {}
    return ServedForm(
        algorithm=algorithm.name,
        task=task,
        form=_form(forms, agreed=trained.parity.agreed),
        agreed=trained.parity.agreed,
        difference=trained.parity.largest_difference,
        native={rows: each[0] for rows, each in times.items()},
        served={rows: each[1] for rows, each in times.items()},
        reason=trained.parity.reason,
    )


def _form(forms: Mapping[Format, Path], *, agreed: bool) -> str:
    if Format.IMAGE_CLASSIFIER in forms:
        return "ONNX, behind the preparation of pictures"
    return "ONNX" if agreed else "its library, in a process of its own"


def _silent(_: Progress) -> None:
    """Nobody watches."""


def _rows(table: pl.DataFrame, spec: TrainSpec, count: int) -> tuple[Any, Any]:
    """So many rows as the pipeline and as the served form take them."""
    from modelyard.training.groundwork import lay
    from modelyard.training.parity import tensors

    ground = lay(table, spec)
    features = ground.held.inside.features
    while features.height < count:
        features = features.vstack(features)
    rows = features.head(count)
    return rows, tensors(rows, ground.problem)


def _native(
    forms: dict[Format, Path], table: pl.DataFrame, spec: TrainSpec
) -> Callable[[int], Callable[[], object]]:
    import joblib

    pipeline = joblib.load(forms[Format.JOBLIB])
    answer = getattr(pipeline, "predict_proba", None) or pipeline.predict

    def asked(count: int) -> Callable[[], object]:
        rows, _ = _rows(table, spec, count)
        return lambda: answer(rows)

    return asked


def _served(
    forms: dict[Format, Path], table: pl.DataFrame, spec: TrainSpec, signature: Any
) -> Callable[[int], Callable[[], object]] | None:
    from modelyard.serving.runtimes.onnx import OnnxRuntime, open_session
    from modelyard.serving.runtimes.text import TextFeatures

    if Format.ONNX not in forms:
        return None
    features = None
    if Format.FEATURES in forms:
        features = TextFeatures.load(forms[Format.FEATURES].read_bytes())
    runtime = OnnxRuntime(open_session(forms[Format.ONNX].read_bytes()), signature, features)

    def asked(count: int) -> Callable[[], object]:
        _, inputs = _rows(table, spec, count)
        return lambda: runtime.infer(inputs)

    return asked


def _in_turns(*calls: Callable[[], object]) -> tuple[float, ...]:
    """The median seconds of each call, asked in turns so that a busy machine falls on all."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(_TURNS):
        for taken, call in zip(times, calls, strict=True):
            end = time.perf_counter() + _SECONDS / _TURNS
            while True:
                began = time.perf_counter()
                call()
                now = time.perf_counter()
                taken.append(now - began)
                if now > end:
                    break
    return tuple(median(taken) for taken in times)


if __name__ == "__main__":
    for line in served_forms():
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()
