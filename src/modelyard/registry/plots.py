"""Plots: what of an evaluation can be drawn, and the drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from modelyard.core.errors import NotFound
from modelyard.registry.card import Card
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.registry.svg import Bar, Frame, Series, around, bars, lines, matrix, scatter

MAX_CLASSES: Final = 30
"""Classes beyond which a confusion matrix is no picture any more."""
MAX_BARS: Final = 25

_UNIT: Final = (0.0, 1.0)
_Drawing = Callable[[Card, Evaluation], str]


def plots(card: Card, evaluation: Evaluation) -> tuple[str, ...]:
    """The names of the plots that there are of this version, in the order of their interest."""
    confusion = card.confusion
    there: Mapping[str, bool] = {
        "confusion": confusion is not None and len(confusion.labels) <= MAX_CLASSES,
        "roc": bool(evaluation.roc),
        "precision-recall": bool(evaluation.precision_recall),
        "calibration": evaluation.calibration is not None,
        "predictions": evaluation.residuals is not None,
        "residuals": evaluation.residuals is not None,
        "importance": bool(evaluation.importance),
        "slices": bool(evaluation.slices),
        "leaderboard": any(one.score is not None for one in card.leaderboard),
    }
    return tuple(name for name, drawable in there.items() if drawable)


def draw(name: str, card: Card, evaluation: Evaluation) -> str:
    """One plot as SVG.

    Raises:
        NotFound: there is no such plot of this version.
    """
    known = plots(card, evaluation)
    if name not in known:
        listed = ", ".join(known) or "none"
        raise NotFound(f"there is no plot '{name[:40]}' of this version; there are: {listed}")
    return _DRAWINGS[name](card, evaluation)


def title(name: str) -> str:
    """A plot's title."""
    return _TITLES[name]


def _confusion(card: Card, _: Evaluation) -> str:
    found = card.confusion
    if found is None:
        raise NotFound("there is no confusion matrix of this version")
    about = f"True classes by predicted class of {card.test_rows} held-out rows"
    frame = Frame(_TITLES["confusion"], about, "predicted", "true")
    return matrix(frame, found.labels, found.counts)


def _roc(_: Card, evaluation: Evaluation) -> str:
    series = [Series(one.label, one.x, one.y) for one in evaluation.roc]
    about = "True positives over false positives; the dashed line is a guess"
    frame = Frame(_TITLES["roc"], about, "false positive rate", "true positive rate")
    return lines(frame, series, _UNIT, _UNIT, ((0.0, 0.0), (1.0, 1.0)))


def _precision_recall(_: Card, evaluation: Evaluation) -> str:
    series = [Series(one.label, one.x, one.y) for one in evaluation.precision_recall]
    frame = Frame(_TITLES["precision-recall"], "Precision over recall", "recall", "precision")
    return lines(frame, series, _UNIT, _UNIT)


def _calibration(_: Card, evaluation: Evaluation) -> str:
    found = evaluation.calibration
    if found is None:
        raise NotFound("there is no calibration of this version")
    of = f"of '{found.label}'" if found.label else "of the likeliest class"
    about = "Observed share over predicted probability; the dashed line is a perfect calibration"
    frame = Frame(_TITLES["calibration"], about, f"predicted probability {of}", "observed share")
    series = [Series(of, found.predicted, found.observed)]
    return lines(frame, series, _UNIT, _UNIT, ((0.0, 0.0), (1.0, 1.0)), marked=True)


def _predictions(card: Card, evaluation: Evaluation) -> str:
    found = evaluation.residuals
    if found is None:
        raise NotFound("there are no residuals of this version")
    span = around([*found.truth, *found.predicted])
    about = "Predicted over true values of held-out rows; on the dashed line they are the same"
    frame = Frame(_TITLES["predictions"], about, f"true {card.target}", "predicted")
    points = list(zip(found.truth, found.predicted, strict=True))
    return scatter(frame, points, span, span, ((span[0], span[0]), (span[1], span[1])))


def _residuals(card: Card, evaluation: Evaluation) -> str:
    found = evaluation.residuals
    if found is None:
        raise NotFound("there are no residuals of this version")
    errors = [said - true for said, true in zip(found.predicted, found.truth, strict=True)]
    across, up = around(found.predicted), around([*errors, 0.0])
    about = "What a prediction is too high by, over the prediction"
    frame = Frame(_TITLES["residuals"], about, f"predicted {card.target}", "predicted less true")
    points = list(zip(found.predicted, errors, strict=True))
    return scatter(frame, points, across, up, ((across[0], 0.0), (across[1], 0.0)))


def _importance(card: Card, evaluation: Evaluation) -> str:
    rows = [
        Bar(one.column, one.loss, one.loss - one.spread, one.loss + one.spread)
        for one in evaluation.importance[:MAX_BARS]
    ]
    said = f"What {card.metric} loses when a column's values are shuffled among the held-out rows"
    return bars(_TITLES["importance"], said, rows)


def _slices(card: Card, evaluation: Evaluation) -> str:
    rows = []
    for one in evaluation.slices[:MAX_BARS]:
        value = one.metrics.get(card.metric)
        if value is not None:
            ends = (one.interval.low, one.interval.high) if one.interval else (None, None)
            rows.append(Bar(f"{one.column}: {one.value}", value, *ends))
    about = f"{card.metric} of parts of the held-out rows"
    return bars(f"{_TITLES['slices']}: {card.metric}", about, rows)


def _leaderboard(card: Card, _: Evaluation) -> str:
    rows = [
        Bar(one.algorithm, one.score, one.score - one.spread, one.score + one.spread)
        if one.spread is not None
        else Bar(one.algorithm, one.score)
        for one in card.leaderboard[:MAX_BARS]
        if one.score is not None
    ]
    better = "smaller is better" if card.metric in SMALLER_IS_BETTER else "larger is better"
    about = f"{card.metric} in cross-validation, with the spread over the folds; {better}"
    return bars(f"{_TITLES['leaderboard']}: {card.metric}", about, rows)


_TITLES: Final[Mapping[str, str]] = {
    "confusion": "Confusion matrix",
    "roc": "Receiver operating characteristic",
    "precision-recall": "Precision and recall",
    "calibration": "Calibration",
    "predictions": "Predicted and true values",
    "residuals": "Residuals",
    "importance": "Importance of columns",
    "slices": "By slice",
    "leaderboard": "Algorithms that were compared",
}
_DRAWINGS: Final[Mapping[str, _Drawing]] = {
    "confusion": _confusion,
    "roc": _roc,
    "precision-recall": _precision_recall,
    "calibration": _calibration,
    "predictions": _predictions,
    "residuals": _residuals,
    "importance": _importance,
    "slices": _slices,
    "leaderboard": _leaderboard,
}
