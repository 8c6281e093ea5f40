"""What a task is told to do: the contents of its `spec.json`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from modelyard.core.errors import Invalid
from modelyard.core.tasks import SPEC_FILE
from modelyard.core.tensors import Signature
from modelyard.registry.artifact import Format
from modelyard.training.treatment import FeatureSelection, Treatment

AUTO: Final = "auto"
MAX_PARAMETERS: Final = 32
MAX_WORKERS: Final = 64
MAX_MEMBERS: Final = 10
"""Of an ensemble."""
MAX_SLICED: Final = 10
"""Columns."""

Spec = TypeVar("Spec")
_File = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]
_ColumnName = Annotated[str, Meta(min_length=1, max_length=1024)]


class TaskKind(StrEnum):
    """What is learned: a class or a number that rows are known to have, a tag for each token of a
    text, or what text another becomes; or else, with no target, which rows belong together or which
    stand apart.
    """

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    CLUSTERING = "clustering"
    ANOMALY_DETECTION = "anomaly_detection"
    TAGGING = "tagging"
    TRANSLATION = "translation"

    @property
    def supervised(self) -> bool:
        """Whether there is a target."""
        return self not in (TaskKind.CLUSTERING, TaskKind.ANOMALY_DETECTION)


class TextTokens(StrEnum):
    """How texts are split: `auto` takes words, or characters in scripts that set no spaces."""

    AUTO = "auto"
    WORDS = "words"
    CHARACTERS = "characters"
    JIEBA = "jieba"


class Ensembling(StrEnum):
    """How several candidates become one model: the mean of what they say, or a linear model of it
    that has learned from the folds that each of them was not trained on.
    """

    VOTING = "voting"
    STACKING = "stacking"


class InspectSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Read `file` in the scratch folder; `filename` is what its owner calls it."""

    file: _File
    filename: Annotated[str, Meta(max_length=1024)]


class ExamineSpec(InspectSpec, frozen=True):
    """Try `file` as a model of this format.

    `sample` names a file with rows to try it on, `features` the text features beside a graph; both
    are empty where there are none. A sample that nobody asked for is `optional`: one that does not
    fit is left aside. With a `signature` the model is only loaded and measured. `engine` is what
    a language model is tried with.
    """

    format: Format
    sample: _File | None = None
    optional: bool = False
    features: _File | None = None
    signature: Signature | None = None
    engine: Annotated[str, Meta(max_length=32)] = ""


class TrainSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Train on the Parquet file `table` in the scratch folder.

    `task`, `metric` and `include` (the features) are chosen from the data where they are None.
    Clustering and anomaly detection have no target. `tokens` is how texts are split. With
    `trials` the algorithm's parameters are tuned in so many trials, or in as many as begin within
    `tune_seconds`; `workers` of them run at once, each in a process of its own. With an `ensemble`
    the best `ensemble_size` candidates of `auto` are combined, where that is better than the best.

    Pictures are brought to a longer side of `image_size` pixels, and to shades of grey or to
    colours with `image_grey`.

    Held out are rows at random, by class where there are classes; with a `time_column` the latest
    ones; with a `group_column` whole groups, so that none is on both sides. The result is measured
    on the whole of them, and apart for each value of the `slices`, which are columns. `threshold`
    is the rule by which one is chosen for two classes (see `evaluation.threshold`).

    `preprocessing` says how columns are treated, by name or `*` for all of them, and `selection`
    which columns of the prepared matrix are kept.

    As a `stream` the table is read in parts, of algorithms that can learn so: it may be larger than
    memory.

    With a `window` the rows are steps of one time series, or of one for each `series_column`: from
    so many steps the target `horizon` steps later is predicted.
    """

    table: _File
    target: _ColumnName | None = None
    algorithm: Annotated[str, Meta(min_length=1, max_length=64)] = AUTO
    task: TaskKind | None = None
    test_fraction: Annotated[float, Meta(ge=0.05, le=0.5)] = 0.2
    folds: Annotated[int, Meta(ge=2, le=20)] = 5
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    metric: Annotated[str, Meta(max_length=64)] | None = None
    parameters: Annotated[dict[str, Any], Meta(max_length=MAX_PARAMETERS)] = {}
    include: Annotated[tuple[_ColumnName, ...], Meta(max_length=10_000)] | None = None
    exclude: Annotated[tuple[_ColumnName, ...], Meta(max_length=10_000)] = ()
    tokens: TextTokens = TextTokens.AUTO
    trials: Annotated[int, Meta(ge=0, le=1000)] = 0
    tune_seconds: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    time_column: _ColumnName | None = None
    window: Annotated[int, Meta(ge=0, le=1000)] = 0
    horizon: Annotated[int, Meta(ge=0, le=1000)] = 1
    series_column: _ColumnName | None = None
    group_column: _ColumnName | None = None
    workers: Annotated[int, Meta(ge=1, le=MAX_WORKERS)] = 1
    image_size: Annotated[int, Meta(ge=4, le=512)] | None = None
    image_grey: bool | None = None
    ensemble: Ensembling | None = None
    ensemble_size: Annotated[int, Meta(ge=2, le=MAX_MEMBERS)] = 3
    stream: bool = False
    slices: Annotated[tuple[_ColumnName, ...], Meta(max_length=MAX_SLICED)] = ()
    threshold: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    preprocessing: Annotated[dict[_ColumnName, Treatment], Meta(max_length=10_000)] = {}
    selection: FeatureSelection | None = None


_NEEDS: Final = {
    "tune_seconds": "trials",
    "workers": "trials",
    "ensemble_size": "ensemble",
    "horizon": "window",
    "series_column": "window",
}
"""Options, and the one without which each of them would say nothing."""


def check_needs(spec: TrainSpec) -> None:
    """Raises Invalid for an option whose other half was forgotten: it would go unheard."""
    default = TrainSpec(spec.table)
    for name, needed in _NEEDS.items():
        if getattr(spec, name) != getattr(default, name) and not getattr(spec, needed):
            raise Invalid(
                f"spec.{name} does nothing without spec.{needed}: give both, or leave it out"
            )


def read_spec(scratch: Path, kind: type[Spec]) -> Spec:
    """The task's spec.

    Raises:
        Invalid: a field is missing, unknown, of the wrong type or out of bounds.
    """
    try:
        return msgspec.json.decode((scratch / SPEC_FILE).read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise Invalid(f"the task's specification is not valid: {error}") from None
