"""An evaluation: how a version did on held-out rows."""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """Where a value lies with a confidence of 95 %."""

    low: float
    high: float


class ClassScore(msgspec.Struct, frozen=True):
    """One class against the rest."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


class Curve(msgspec.Struct, frozen=True):
    """Points of a curve, from left to right."""

    label: str
    x: list[float]
    y: list[float]


class Calibration(msgspec.Struct, frozen=True):
    """Predicted probability against observed share; `label` is empty for the likeliest class."""

    label: str
    predicted: list[float]
    observed: list[float]
    rows: list[int]


class Residuals(msgspec.Struct, frozen=True):
    """Predicted and true numbers of some rows, and quantiles of the errors of all."""

    predicted: list[float]
    truth: list[float]
    quantiles: dict[str, float]


class Slice(msgspec.Struct, frozen=True):
    """Rows with one value of a column; the interval is of the metric that it was chosen by."""

    column: str
    value: str
    rows: int
    metrics: dict[str, float]
    interval: Interval | None = None


class Threshold(msgspec.Struct, frozen=True):
    """From which probability on to take rows for `label`, chosen on rows that are not held out."""

    label: str
    rule: str
    value: float
    metrics: dict[str, float]
    before: dict[str, float]


class Importance(msgspec.Struct, frozen=True):
    """What the metric loses when the column is shuffled."""

    column: str
    loss: float
    spread: float


class Comparison(msgspec.Struct, frozen=True):
    """The version beside another one on the same rows, or the `reason` why it could not be."""

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


class Evaluation(msgspec.Struct, frozen=True):
    """Everything that was measured on held-out rows beside the card's metrics."""

    classes: list[ClassScore] = []
    roc: list[Curve] = []
    precision_recall: list[Curve] = []
    calibration: Calibration | None = None
    residuals: Residuals | None = None
    slices: list[Slice] = []
    threshold: Threshold | None = None
    importance: list[Importance] = []
    comparisons: list[Comparison] = []
