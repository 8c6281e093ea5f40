"""The problem: what is predicted, from which columns, and in which role each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.training.dataset import Column, ColumnType
from modelyard.training.pixels import PictureSize, size_of
from modelyard.training.spec import TaskKind, TextTokens, TrainSpec
from modelyard.training.trainers.algorithm import Reads
from modelyard.training.trainers.catalogue import ALGORITHMS
from modelyard.training.treatment import (
    EVERY,
    FeatureSelection,
    Treatment,
    check_selection,
    treatments_of,
)

FEW_DISTINCT: Final = 20
"""An integer target with at most so many values is taken for classes."""
MAX_CLASSES: Final = 1000
MIN_ROWS: Final = 10
TEXT_WORDS: Final = 3.0
_SHARE_DISTINCT: Final = 0.5
_SHARE_ID: Final = 0.95
_ID_NAMES: Final = ("id", "uuid", "guid", "index", "key", "rowid", "row_id", "unnamed: 0")


class Role(StrEnum):
    """How a feature enters the model."""

    NUMBER = "number"
    CATEGORY = "category"
    DATE = "date"
    TEXT = "text"
    IMAGE = "image"


class Problem(msgspec.Struct, frozen=True):
    """What is to be learned. `features` maps each used column to its role, in table order.

    `target` is empty where there is none. `tokens` is how texts are to be split. `picture` is what
    pictures are brought to, if it is them that are learned from: then there is no other feature.
    The features of a window are those of so many `steps`, one after the other. The one text is
    `embedded` if it is its vector by an embedder that is learned from.
    """

    task: TaskKind
    target: str
    target_type: ColumnType | None
    features: Mapping[str, Role]
    tokens: TextTokens = TextTokens.AUTO
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    picture: PictureSize | None = None
    steps: int = 0
    treatments: Mapping[str, Treatment] = {}
    selection: FeatureSelection | None = None
    embedded: bool = False

    def treatment(self, name: str) -> Treatment:
        """How the feature is to be treated."""
        return self.treatments.get(name, Treatment())

    def named(self, role: Role) -> tuple[str, ...]:
        """The features of one role, in table order."""
        return tuple(name for name, own in self.features.items() if own is role)

    @property
    def numeric(self) -> bool:
        """Whether every feature is a number."""
        return all(role is Role.NUMBER for role in self.features.values())


def define(columns: Sequence[Column], rows: int, spec: TrainSpec) -> Problem:
    """Decide the task and the role of each column.

    Raises:
        Invalid: no such target or feature, a target that does not fit the task, too few rows, or
            no column left to learn from. The message names the column.
    """
    by_name = {column.name: column for column in columns}
    if spec.target is None:
        return _treated(_without_target(by_name, rows, spec), spec)
    if spec.task is not None and not spec.task.supervised:
        raise Invalid(
            f"{spec.task} has no target: leave it out, and exclude column '{spec.target[:80]}' if "
            "it is not to be learned from"
        )
    target = by_name.get(spec.target)
    if target is None:
        raise Invalid(f"there is no target column '{spec.target[:80]}'; {_listed(by_name)}")
    task, note = _task(target, rows, spec)
    _check_target(target, rows, task)
    features, warnings = _features(by_name, rows - target.missing, spec)
    if not features:
        reasons = "; ".join(warnings) or "the table has no other column"
        raise Invalid(f"no column is left to predict '{target.name}' from: {reasons}")
    if _reads_text(spec):
        features, left_out = _one_text(by_name, features, spec)
        warnings += left_out
    if target.missing:
        warnings.insert(0, f"{target.missing} rows have no '{target.name}' and were left out")
    features, picture, alone = _picture(by_name, features, task, spec)
    problem = Problem(
        task,
        target.name,
        target.type,
        features,
        spec.tokens,
        (note,),
        (*warnings, *alone),
        picture,
        embedded=embeds(spec.algorithm),
    )
    return _treated(problem, spec)


def _treated(problem: Problem, spec: TrainSpec) -> Problem:
    """The problem with what was asked for of its columns' preprocessing."""
    if not spec.preprocessing and spec.selection is None:
        return problem
    if problem.picture is not None or _reads_text(spec):
        raise Invalid("preprocessing and selection are for tables: here one column is learned from")
    supervised = problem.task.supervised
    check_selection(spec.selection, supervised=supervised)
    return msgspec.structs.replace(
        problem,
        treatments=treatments_of(spec.preprocessing, problem.features, supervised=supervised),
        selection=spec.selection,
    )


def _without_target(columns: Mapping[str, Column], rows: int, spec: TrainSpec) -> Problem:
    task = spec.task
    if task is None and spec.algorithm in ALGORITHMS:
        (task, *others) = ALGORITHMS[spec.algorithm].tasks
        task = None if others else task
    if task is None or task.supervised:
        without = ", ".join(one for one in TaskKind if not one.supervised)
        raise Invalid(f"there is no target column; name it, or a task that has none: {without}")
    if rows < MIN_ROWS:
        raise Invalid(f"the table has {rows} rows; at least {MIN_ROWS} are needed")
    features, warnings = _features(columns, rows, spec)
    if not features:
        reasons = "; ".join(warnings) or "the table has no columns"
        raise Invalid(f"no column is left to learn from: {reasons}")
    _picture(columns, features, task, spec)
    note = f"{task}, without a target"
    return Problem(task, "", None, features, spec.tokens, (note,), tuple(warnings))


def _task(target: Column, rows: int, spec: TrainSpec) -> tuple[TaskKind, str]:
    if spec.task is not None:
        return spec.task, f"{spec.task} of '{target.name}', as asked"
    name, distinct = target.name, target.distinct
    if target.type in (ColumnType.STRING, ColumnType.BOOLEAN):
        why = f"classification, because '{name}' holds {target.type}s ({distinct} classes)"
        return TaskKind.CLASSIFICATION, why
    if target.type is ColumnType.INTEGER and distinct <= min(FEW_DISTINCT, max(2, rows // 5)):
        why = f"classification, because '{name}' holds whole numbers with {distinct} values"
        return TaskKind.CLASSIFICATION, why
    why = f"regression, because '{name}' holds numbers with {distinct} values"
    return TaskKind.REGRESSION, why


def _check_target(target: Column, rows: int, task: TaskKind) -> None:
    known = rows - target.missing
    if target.type is ColumnType.DATETIME:
        raise Invalid(f"target '{target.name}' holds times; a number or a class is needed")
    if target.type is ColumnType.IMAGE:
        raise Invalid(f"target '{target.name}' holds pictures; a class is needed")
    if known < MIN_ROWS:
        raise Invalid(
            f"target '{target.name}' has a value in {known} rows; at least {MIN_ROWS} are needed"
        )
    if target.distinct < 2:
        raise Invalid(
            f"target '{target.name}' has a single value in all {known} rows: "
            "there is nothing to tell apart"
        )
    if task is TaskKind.TAGGING:
        if target.type is not ColumnType.STRING:
            raise Invalid(f"target '{target.name}' holds {target.type}s; tagging needs tags")
    elif task is TaskKind.TRANSLATION:
        if target.type is not ColumnType.STRING:
            raise Invalid(f"target '{target.name}' holds {target.type}s; translation needs texts")
    elif task is TaskKind.REGRESSION:
        if target.type is ColumnType.STRING:
            raise Invalid(f"target '{target.name}' holds strings; regression needs numbers")
    elif target.distinct > MAX_CLASSES:
        raise Invalid(
            f"target '{target.name}' has {target.distinct} distinct values; "
            f"classification takes at most {MAX_CLASSES}"
        )


def _features(
    columns: Mapping[str, Column], rows: int, spec: TrainSpec
) -> tuple[dict[str, Role], list[str]]:
    treated = [name for name in spec.preprocessing if name != EVERY]
    for name in (*(spec.include or ()), *spec.exclude, *treated):
        if name not in columns:
            raise Invalid(f"there is no column '{name[:80]}'; {_listed(columns)}")
    if spec.target in treated:
        raise Invalid(f"preprocessing is for features, and '{spec.target}' is the target")
    if EVERY in spec.preprocessing and spec.preprocessing[EVERY].role is not None:
        raise Invalid("preprocessing of '*': a role is for one column")
    if spec.include is not None and spec.target in spec.include:
        raise Invalid(f"the target '{spec.target}' cannot be a feature as well")
    features: dict[str, Role] = {}
    warnings: list[str] = []
    for column in columns.values():
        if column.name == spec.target or column.name in spec.exclude:
            continue
        if spec.include is not None and column.name not in spec.include:
            continue
        asked = spec.preprocessing.get(column.name, Treatment()).role
        if asked == "ignore":
            continue
        reason = _unfit(column, rows, chosen=spec.include is not None or asked is not None)
        if column.name == spec.group_column and spec.include is None:
            reason = "it tells the groups apart, and those to come are not among them"
        if reason:
            warnings.append(f"column '{column.name}' was left out: {reason}")
        else:
            features[column.name] = _asked_role(column, asked) or _role(column, rows)
    return features, warnings


def embeds(algorithm: str) -> bool:
    """Whether the algorithm of this name learns from an embedder's vectors."""
    known = ALGORITHMS.get(algorithm)
    return known is not None and known.reads is Reads.SENTENCE


def _reads_text(spec: TrainSpec) -> bool:
    algorithm = ALGORITHMS.get(spec.algorithm)
    if algorithm is None:
        return False
    if algorithm.reads is Reads.SEQUENCE:
        return not spec.window
    return algorithm.reads in (Reads.TEXT, Reads.SENTENCE)


def _one_text(
    columns: Mapping[str, Column], features: Mapping[str, Role], spec: TrainSpec
) -> tuple[dict[str, Role], list[str]]:
    """The one column of text among the features, for an algorithm that reads nothing else."""
    texts = [name for name, role in features.items() if role is Role.TEXT]
    if not texts and spec.include is not None:
        texts = [name for name in features if columns[name].type is ColumnType.STRING]
    if len(texts) != 1:
        found = ", ".join(f"'{name}'" for name in texts[:20]) or "none"
        raise Invalid(
            f"algorithm '{spec.algorithm}' reads one column of text, and there is {found}: "
            "include the one that it is to read"
        )
    others = [name for name in features if name != texts[0]]
    reason = f"'{spec.algorithm}' reads the text alone"
    return {texts[0]: Role.TEXT}, [f"column '{one}' was left out: {reason}" for one in others]


def _picture(
    columns: Mapping[str, Column], features: dict[str, Role], task: TaskKind, spec: TrainSpec
) -> tuple[dict[str, Role], PictureSize | None, list[str]]:
    """The one picture among the features, if there is one, its size, and what it leaves out."""
    images = [name for name, role in features.items() if role is Role.IMAGE]
    if not images:
        if spec.image_size is not None or spec.image_grey is not None:
            raise Invalid("image_size and image_grey are for pictures, and there are none")
        return features, None, []
    name, *others = images
    if others:
        raise Invalid(
            f"a model looks at one picture, and there are {len(images)} columns of them: "
            f"include one of {', '.join(images[:20])}"
        )
    if task is not TaskKind.CLASSIFICATION:
        raise Invalid(
            f"pictures ('{name}') are told apart by class; {task} is not learned from them"
        )
    shown = columns[name].picture
    if shown is None:
        raise Invalid(f"column '{name}' holds no picture")
    size = size_of(shown, spec.image_size, grey=spec.image_grey)
    left_out = [
        f"column '{other}' was left out: a model of pictures looks at the picture alone"
        for other in features
        if other != name
    ]
    return {name: Role.IMAGE}, size, left_out


def _unfit(column: Column, rows: int, *, chosen: bool) -> str:
    if column.distinct == 0:
        return "it has no value in any row"
    if column.distinct == 1 and not column.missing:
        return "it has the same value in every row"
    if chosen:
        return ""
    every = column.distinct >= _SHARE_ID * rows
    if column.type is ColumnType.INTEGER and every and _named_like_id(column.name):
        return "it looks like an identifier (a whole number of its own in nearly every row)"
    if column.type is ColumnType.STRING and every and not _wordy(column):
        return "it looks like an identifier (a word of its own in nearly every row)"
    return ""


def _named_like_id(name: str) -> bool:
    lower = name.strip().lower()
    return lower in _ID_NAMES or lower.endswith(("_id", " id", "-id")) or name.endswith("Id")


def _wordy(column: Column) -> bool:
    return column.mean_words is not None and column.mean_words >= TEXT_WORDS


def _asked_role(column: Column, asked: str | None) -> Role | None:
    if asked is None:
        return None
    role = Role(asked)
    if column.type not in _HOLDING[role]:
        fit = " or ".join(_HOLDING[role])
        raise Invalid(
            f"preprocessing of column '{column.name[:80]}': 'role' is {role}, which takes "
            f"{fit} values, and these are {column.type}"
        )
    return role


_HOLDING: Final[Mapping[Role, tuple[ColumnType, ...]]] = {
    Role.NUMBER: (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.BOOLEAN),
    Role.CATEGORY: (ColumnType.STRING, ColumnType.INTEGER, ColumnType.BOOLEAN),
    Role.DATE: (ColumnType.DATETIME,),
    Role.TEXT: (ColumnType.STRING,),
}
"""What a column may hold for the role that it is asked to have."""


def _role(column: Column, rows: int) -> Role:
    if column.type is ColumnType.DATETIME:
        return Role.DATE
    if column.type is ColumnType.IMAGE:
        return Role.IMAGE
    if column.type is not ColumnType.STRING:
        return Role.NUMBER
    known = max(1, rows - column.missing)
    if _wordy(column) and column.distinct > max(FEW_DISTINCT, _SHARE_DISTINCT * known):
        return Role.TEXT
    return Role.CATEGORY


def _listed(columns: Mapping[str, Column]) -> str:
    names = [f"'{name}'" for name in columns]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"the columns are {', '.join(names[:20])}{more}"
