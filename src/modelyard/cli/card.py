"""How a version's card looks on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelyard.cli.display import Grid, facts, table
from modelyard_client.models import (
    Candidate,
    Card,
    Confusion,
    EngineTrial,
    Ensemble,
    ModelVersion,
    Parity,
    TensorSpec,
)

if TYPE_CHECKING:
    from rich.console import Group

_MANY = 8


def card_of(version: ModelVersion) -> Group:
    """Everything that people ask of a version, most important first."""
    from rich.console import Group

    card = version.card
    parts: list[Any] = [facts(_heading(version))]
    if card.metrics:
        parts += ["", _metrics(card)]
    if card.confusion is not None and len(card.confusion.labels) <= _MANY:
        parts += ["", _confusion(card.confusion)]
    if card.engines:
        parts += ["", engines_table(card.engines)]
    return Group(*parts)


def leaderboard(candidates: Sequence[Candidate], metric: str) -> Grid:
    """The algorithms that were compared, in the server's order: the best first."""
    headings = ("ALGORITHM", (metric or "score").upper(), "+/-", "SECONDS", "NOTE")
    rows = [
        (
            c.algorithm,
            "-" if c.score is None else f"{c.score:.4f}",
            "-" if c.spread is None else f"{c.spread:.4f}",
            f"{c.seconds:.1f}",
            c.error,
        )
        for c in candidates
    ]
    return table(headings if any(c.error for c in candidates) else headings[:-1], rows)


def _heading(version: ModelVersion) -> list[tuple[str, Any]]:
    card, lineage = version.card, version.lineage
    dataset = lineage.get("dataset")
    signature = version.signature
    return [
        ("version", f"{version.model}:{version.number}"),
        ("state", f"{version.state}: {version.reason}" if version.reason else None),
        ("description", card.description),
        ("task", card.task),
        ("algorithm", card.algorithm),
        ("tuned", _tuned(card) if card.tuning else None),
        ("made of", _members(card.ensemble) if card.ensemble else None),
        ("target", card.target),
        ("dataset", f"{dataset} version {lineage.get('dataset_version')}" if dataset else None),
        (
            "rows",
            f"{card.train_rows} to train, {card.test_rows} held out{_chosen(card)}"
            if card.test_rows
            else "",
        ),
        ("takes", "; ".join(map(_tensor, signature.inputs[:_MANY])) if signature else "unknown"),
        ("gives", "; ".join(map(_tensor, signature.outputs)) if signature else "unknown"),
        ("ONNX form", _parity(version.parity) if version.parity else None),
        *(("because", reason) for reason in card.reasons),
        *(("warning", warning) for warning in card.warnings),
    ]


def _chosen(card: Card) -> str:
    split = card.split
    if split is None or split.method in ("ratio", "hash"):
        return ""
    if split.method == "time":
        return f": those with '{split.column}' from {split.boundary} on"
    return f": {split.test_groups} of {split.test_groups + split.train_groups} '{split.column}'"


def _tuned(card: Card) -> str:
    found = card.tuning
    if found is None:
        return ""
    before = "" if found.first is None else f", {found.first:.4f} before"
    return f"{card.metric} {found.score:.4f} in cross-validation{before}; {found.trials} trials"


def _members(ensemble: Ensemble) -> str:
    return ", ".join(
        one.algorithm if one.weight is None else f"{one.algorithm} (weight {one.weight:.2f})"
        for one in ensemble.members
    )


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype}[{', '.join(map(str, spec.shape))}]"


def _parity(parity: Parity) -> str:
    if not parity.agreed:
        return f"not served: {parity.reason}"
    said = f"agrees with the original on {parity.rows} rows"
    if parity.largest_difference is not None:
        said += f", largest difference {parity.largest_difference:.1e}"
    return said


def engines_table(trials: Sequence[EngineTrial]) -> Grid:
    """The engines that a language model was tried with: `auto` takes the first."""
    headings = ("ENGINE", "TOKENS/S ALONE", "TOGETHER", "LOADED IN", "NOTE")
    rows = [
        (trial.engine, "-", "-", "-", trial.error)
        if trial.error
        else (
            trial.engine,
            f"{trial.alone:.0f}",
            f"{trial.together:.0f}",
            f"{trial.load_seconds:.1f} s",
            "",
        )
        for trial in trials
    ]
    return table(headings if any(trial.error for trial in trials) else headings[:-1], rows)


def _metrics(card: Card) -> Grid:
    if not card.intervals:
        rows = [(name, f"{value:.4f}") for name, value in card.metrics.items()]
        return table(("METRIC", "HELD OUT"), rows)
    bounded = [
        (name, f"{value:.4f}", f"{found.low:.4f} to {found.high:.4f}" if found else "-")
        for name, value in card.metrics.items()
        for found in [card.intervals.get(name)]
    ]
    return table(("METRIC", "HELD OUT", "95 % INTERVAL"), bounded)


def _confusion(confusion: Confusion) -> Grid:
    rows = [
        (label, *counts) for label, counts in zip(confusion.labels, confusion.counts, strict=True)
    ]
    return table(("TRUE \\ PREDICTED", *confusion.labels), rows)
