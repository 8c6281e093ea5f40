"""An algorithm: what it does, what may be set on it and within which bounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import Any, Final

from modelyard.core.errors import Invalid
from modelyard.training.pixels import PictureSize
from modelyard.training.spec import TaskKind
from modelyard.training.watch import Watch

PREDICTING: Final = frozenset({TaskKind.CLASSIFICATION, TaskKind.REGRESSION})
"""The tasks of algorithms that predict a class or a number alike."""

Estimator = Any
"""A scikit-learn estimator: the library ships no types."""


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter. `kinds` are its types; numbers lie in `low` to `high`. One `of_classes`
    means nothing where numbers are predicted.
    """

    kinds: tuple[type, ...] = ()
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
    optional: bool = False
    items: bool = False
    """A list of one to eight such values (a bare value will do)."""
    of_classes: bool = False

    def check(self, name: str, value: Any) -> Any:
        """Return the value as the estimator takes it. Raises Invalid."""
        if value is None and self.optional:
            return None
        if self.items:
            values = value if isinstance(value, list | tuple) else [value]
            if not 1 <= len(values) <= 8:
                raise Invalid(f"parameter '{name}' takes a list of 1 to 8 values")
            return tuple(self._one(name, one) for one in values)
        return self._one(name, value)

    def _one(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            if value in self.choices:
                return value
        elif isinstance(value, bool):
            if bool in self.kinds:
                return value
        elif isinstance(value, int | float) and self._in_bounds(value):
            return value
        raise Invalid(f"parameter '{name}' is {str(value)[:80]!r}, expected {self.expected}")

    def _in_bounds(self, value: float) -> bool:
        whole = isinstance(value, int)
        if not ((whole and int in self.kinds) or float in self.kinds):
            return False
        return self.low <= value <= self.high

    @property
    def expected(self) -> str:
        """What is allowed, in words."""
        words = [repr(choice) for choice in self.choices]
        if bool in self.kinds:
            words.append("true or false")
        if int in self.kinds:
            words.append(f"a whole number from {self.low:g} to {self.high:g}")
        if float in self.kinds:
            words.append(f"a number from {self.low:g} to {self.high:g}")
        if self.optional:
            words.append("null")
        return " or ".join(words)


def whole(low: int, high: int, *, optional: bool = False, items: bool = False) -> Parameter:
    """A whole number."""
    return Parameter((int,), low, high, optional=optional, items=items)


def real(low: float, high: float, *choices: str) -> Parameter:
    """A number, or one of some words."""
    return Parameter((float,), low, high, choices)


def choice(*choices: str, optional: bool = False) -> Parameter:
    """One of some words."""
    return Parameter(choices=choices, optional=optional)


def flag() -> Parameter:
    """True or false."""
    return Parameter((bool,))


CLASS_WEIGHT: Final = Parameter(choices=("balanced",), optional=True, of_classes=True)
"""`balanced` lets every class count the same."""


class Reads(StrEnum):
    """What an algorithm learns from: the matrix of all features, the tokens of one text, the vector
    that an embedder gives of it, any sequence (the steps of a window are one too), or one picture
    as such.
    """

    TABLE = "table"
    TEXT = "text"
    SENTENCE = "sentence"
    IMAGE = "image"
    SEQUENCE = "sequence"


@dataclass(frozen=True)
class Axis:
    """Where tuning looks for a parameter: from `low` to `high`, evenly or by orders of magnitude
    (`log`), in whole numbers or not; or among `choices`.
    """

    low: float = 0
    high: float = 0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Fit:
    """What an estimator is built for. `rarest` is the size of the smallest class; `vocabulary` how
    many different numbers stand for the tokens of a text, `steps` how many steps a window has;
    `watch` is for those that tell how they come along; `picture` says what rows of pixels are;
    `squared_norm` is what the squared length of nearly all rows stays below, for a stream.
    """

    task: TaskKind
    rows: int
    width: int
    seed: int
    sparse: bool = False
    rarest: int = 0
    vocabulary: int = 0
    steps: int = 0
    squared_norm: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    picture: PictureSize | None = None


@dataclass(frozen=True)
class Streaming:
    """How an algorithm learns from parts of a table, with `partial_fit`: in at most so many
    `passes` over it, or more where these are fewer than `steps` rows in all.
    """

    build: Callable[[Fit], Estimator]
    passes: int = 1
    steps: int = 0


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    `scaled` says that it wants inputs of like size. `max_rows` bounds what it is trained on: work
    grows faster than its rows. `max_cells` bounds rows times width in the same way. `auto` passes
    over one that is not `tried`: another is nearly always better. `library` is a package that it
    needs and that may be absent; `extra` brings it, and has its name if it is empty. One that
    `resumes` goes on from its last checkpoint when its process was killed. `reads` is what it
    learns from; one that reads tables takes pixels for columns as well, and `auto` tries those that
    are said to suit images. `streaming` is for those that can learn from a table in parts. `space`
    is where tuning looks, for each parameter that matters.
    """

    name: str
    tasks: frozenset[TaskKind]
    parameters: Mapping[str, Parameter]
    build: Callable[[Fit], Estimator]
    scaled: bool
    max_rows: int
    max_cells: int = 100_000_000
    suits_sparse: bool = True
    tried: bool = True
    library: str = ""
    extra: str = ""
    resumes: bool = False
    reads: Reads = Reads.TABLE
    suits_images: bool = False
    streaming: Streaming | None = None
    space: Mapping[str, Axis] = field(default_factory=dict)

    @property
    def available(self) -> bool:
        """Whether the library that it needs is installed."""
        return not self.library or find_spec(self.library) is not None

    def row_limit(self, width: int) -> int:
        """How many rows of this width it is trained on at most."""
        return max(1000, min(self.max_rows, self.max_cells // max(width, 1)))

    def axes(self, fixed: Collection[str]) -> dict[str, Axis]:
        """Where tuning looks when some parameters are set.

        Raises:
            Invalid: there is nothing left to tune.
        """
        axes = {name: axis for name, axis in self.space.items() if name not in fixed}
        if not axes:
            raise Invalid(
                f"algorithm '{self.name}' has no parameter to tune that is not set already"
            )
        return axes

    def check(self, given: Mapping[str, Any], task: TaskKind) -> dict[str, Any]:
        """The parameters as the estimator takes them.

        Raises:
            Invalid: an unknown parameter, one that means nothing for the task, or a value of the
                wrong type or out of bounds.
        """
        for name in given:
            if name not in self.parameters:
                known = ", ".join(sorted(self.parameters)) or "none"
                raise Invalid(
                    f"algorithm '{self.name}' has no parameter '{name[:80]}'; it takes: {known}"
                )
            if self.parameters[name].of_classes and task is TaskKind.REGRESSION:
                raise Invalid(f"parameter '{name}' is for classes, and {task} has none")
        return {name: self.parameters[name].check(name, value) for name, value in given.items()}
