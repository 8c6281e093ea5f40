"""An evaluation: how a version did on held-out rows, in more detail than its card has room for."""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """Where a value lies with a confidence of 95 %."""

    low: float
    high: float


class ClassScore(msgspec.Struct, frozen=True):
    """One class against the rest. `rows` is how many held-out rows are of it."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


class Curve(msgspec.Struct, frozen=True):
    """Points of a curve, from left to right. `label` is the class that is told from the rest."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Calibration(msgspec.Struct, frozen=True):
    """Predicted probability against observed share, in bins of about as many rows.

    `label` is the class that the probabilities are of; empty for the likeliest class of each row.
    """

    label: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    rows: tuple[int, ...]


class Residuals(msgspec.Struct, frozen=True):
    """Predicted numbers and true ones of some held-out rows, and quantiles of the errors of all.

    `quantiles` maps `0.05` and the like to the prediction less the truth.
    """

    predicted: tuple[float, ...]
    truth: tuple[float, ...]
    quantiles: dict[str, float]


class Slice(msgspec.Struct, frozen=True, omit_defaults=True):
    """The held-out rows with one value of a column, or within one stretch of its values."""

    column: str
    value: str
    rows: int
    metrics: dict[str, float]
    interval: Interval | None = None
    """Of the metric that the version was chosen by."""


class Threshold(msgspec.Struct, frozen=True):
    """From which probability on rows should be taken for the `label`, by a `rule`.

    It was chosen on rows that are not held out; `metrics` are those of the held-out rows at it, and
    `before` those at the threshold of one half.
    """

    label: str
    rule: str
    value: float
    metrics: dict[str, float]
    before: dict[str, float]


class Importance(msgspec.Struct, frozen=True):
    """What a metric loses when a column's values are shuffled among the held-out rows."""

    column: str
    loss: float
    spread: float


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """This version beside another one on the same held-out rows.

    `difference` is this version's metric less the other's, and `interval` where it lies. `seen`
    says that the other version may have been trained on some of these rows, which flatters it.
    With a `reason` the two could not be compared.
    """

    alias: str
    version: int
    metric: str = ""
    mine: float = 0.0
    theirs: float = 0.0
    difference: float = 0.0
    interval: Interval | None = None
    rows: int = 0
    seen: bool = False
    reason: str = ""


class Evaluation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that was measured on the held-out rows beside the card's metrics."""

    classes: tuple[ClassScore, ...] = ()
    roc: tuple[Curve, ...] = ()
    precision_recall: tuple[Curve, ...] = ()
    calibration: Calibration | None = None
    residuals: Residuals | None = None
    slices: tuple[Slice, ...] = ()
    threshold: Threshold | None = None
    importance: tuple[Importance, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
