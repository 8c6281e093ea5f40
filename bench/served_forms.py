"""Each algorithm of the catalogue: served as what, how near to its library, and how much faster.

`python -m bench.served_forms` writes the lines as JSON, for who starts it with one thread.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from bench.samples import quick_parameters, sample_for
from modelyard.cli.demo_models import fetch_embedder
from modelyard.core.tasks import Progress
from modelyard.core.tensors import Signature
from modelyard.registry.archives import pack
from modelyard.registry.artifact import Format
from modelyard.serving.runtimes.catalogue import load
from modelyard.serving.runtimes.contract import FEATURES, MODEL, RuntimeManifest
from modelyard.training.embedding import EMBEDDER_FILE, open_embedder
from modelyard.training.preprocessing import features_of
from modelyard.training.problem import Problem
from modelyard.training.served_graph import tensors
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
_SERVED: Final = (Format.ONNX, Format.IMAGE_CLASSIFIER, Format.TEXT_CLASSIFIER)

Ask = Callable[["pl.DataFrame"], Callable[[], object]]
"""Makes a call of so many rows ready: what it does then is measured."""


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
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-train-") as shared:
        embedder = Path(shared) / EMBEDDER_FILE
        pack(fetch_embedder(Path(shared)), embedder)
        for algorithm in ALGORITHMS.values():
            for task in sorted(algorithm.tasks if algorithm.available else ()):
                with tempfile.TemporaryDirectory(prefix="modelyard-bench-train-") as folder:
                    if algorithm.reads is Reads.SENTENCE:
                        shutil.copy(embedder, folder)
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
    forms = {one.format: one.name for one in trained.artifacts}
    problem, rows = _held_out(table, spec, folder)
    served = _served(forms, problem, trained.signature, folder)
    native = _native(folder / forms[Format.JOBLIB], problem, folder)
    times = {}
    if served is not None:
        for count in ROWS:
            some = _so_many(rows, count)
            times[count] = _in_turns(native(some), served(some))
    return ServedForm(
        algorithm=algorithm.name,
        task=task,
        form=_form(forms, agreed=trained.parity.agreed),
        agreed=trained.parity.agreed,
        difference=trained.parity.largest_difference,
        native={count: each[0] for count, each in times.items()},
        served={count: each[1] for count, each in times.items()},
        reason=trained.parity.reason,
    )


def _form(forms: Mapping[Format, str], *, agreed: bool) -> str:
    if Format.IMAGE_CLASSIFIER in forms:
        return "ONNX, behind the preparation of pictures"
    if Format.TEXT_CLASSIFIER in forms:
        return "ONNX, behind the embedder's tokens"
    return "ONNX" if agreed else "its library, in a process of its own"


def _silent(_: Progress) -> None:
    """Nobody watches."""


def _held_out(table: pl.DataFrame, spec: TrainSpec, folder: Path) -> tuple[Problem, pl.DataFrame]:
    """The problem, and the features of the rows that were held out."""
    from modelyard.training.groundwork import lay

    ground = lay(table, spec, folder)
    return ground.problem, ground.held.outside.features.select(list(ground.problem.features))


def _so_many(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    while rows.height < count:
        rows = rows.vstack(rows)
    return rows.head(count)


def _native(file: Path, problem: Problem, folder: Path) -> Ask:
    """By the library: of pictures beginning with their files, of texts with the embedder."""
    import joblib

    pipeline = joblib.load(file)
    model = pipeline.named_steps["model"] if problem.embedded else pipeline
    answer = getattr(model, "predict_proba", None) or model.predict
    if problem.picture is not None:
        return lambda rows: lambda: answer(features_of(rows, problem))
    if problem.embedded:
        embedder, (column,) = open_embedder(folder), problem.features

        def asked(rows: pl.DataFrame) -> Callable[[], object]:
            texts = rows.get_column(column).to_list()
            return lambda: answer(embedder.embed(texts)[0])

        return asked
    return lambda rows: lambda: answer(rows)


def _served(
    forms: Mapping[Format, str], problem: Problem, signature: Signature, folder: Path
) -> Ask | None:
    """As a replica or a gateway loads it."""
    found = [one for one in _SERVED if one in forms]
    if not found:
        return None
    files = {MODEL: forms[found[0]]}
    if Format.FEATURES in forms:
        files[FEATURES] = forms[Format.FEATURES]
    model = load(folder, RuntimeManifest(found[0].value, files, signature))

    def asked(rows: pl.DataFrame) -> Callable[[], object]:
        inputs = tensors(rows, problem, signature)
        return lambda: model.infer(inputs)

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
