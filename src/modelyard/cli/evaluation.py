"""How an evaluation looks on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard.cli.display import table
from modelyard_client.evaluation import Comparison, Evaluation, Interval

if TYPE_CHECKING:
    from rich.console import Group

_MANY = 20


def evaluation_of(found: Evaluation, metric: str) -> Group:
    """Tables of what was measured; curves are for plots."""
    from rich.console import Group

    parts: list[Any] = []
    if found.classes:
        rows = [
            (one.label, f"{one.precision:.4f}", f"{one.recall:.4f}", f"{one.f1:.4f}", one.rows)
            for one in found.classes[:_MANY]
        ]
        parts += ["", table(("CLASS", "PRECISION", "RECALL", "F1", "ROWS"), rows)]
    if found.slices:
        sliced = [
            (one.column, one.value, one.rows, _value(one.metrics.get(metric)), _said(one.interval))
            for one in found.slices
        ]
        headings = ("SLICE", "VALUE", "ROWS", metric.upper(), "95 % INTERVAL")
        parts += ["", table(headings, sliced)]
    if found.importance:
        worth = [
            (one.column, f"{one.loss:.4f}", f"{one.spread:.4f}") for one in found.importance[:_MANY]
        ]
        parts += ["", table(("SHUFFLED COLUMN", f"{metric.upper()} LOST", "+/-"), worth)]
    if found.threshold is not None:
        at = found.threshold
        measured = [
            (name, f"{value:.4g}", f"{at.before[name]:.4g}") for name, value in at.metrics.items()
        ]
        heading = f"'{at.label}' FROM {at.value:.4f} ON ({at.rule})"
        parts += ["", table((heading, "THERE", "AT ONE HALF"), measured)]
    if found.comparisons:
        compared = [(f"@{c.alias}:{c.version}", *_compared(c)) for c in found.comparisons]
        headings = ("BESIDE", "THEIRS", "OURS", "DIFFERENCE LIES IN", "NOTE")
        parts += ["", table(headings, compared)]
    return Group(*parts)


def _compared(one: Comparison) -> tuple[str, str, str, str]:
    if one.reason:
        return "-", "-", "-", one.reason
    note = "it may have been trained on some of these rows" if one.seen else ""
    ours = f"{one.metric} {one.mine:.4f}"
    return f"{one.metric} {one.theirs:.4f}", ours, _said(one.interval), note


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _said(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"
