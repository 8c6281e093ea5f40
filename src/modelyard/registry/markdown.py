"""A model card in Markdown. Pictures are linked as `plots/NAME.svg` beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from modelyard.registry.document import CardDocument
from modelyard.registry.evaluation import Interval
from modelyard.registry.plots import title
from modelyard.registry.version import TRAINING

MAX_COLUMNS: Final = 50
"""Of the table that are named."""
MAX_IMPORTANT: Final = 15
_MARKS: Final = re.compile(r"([\\`*_\[\]#|!~])")


def markdown(document: CardDocument) -> str:
    """The whole card. Whatever comes from data or people is text in it, never markup."""
    parts = [
        [f"# {_plain(document.model)} version {document.version}"],
        _intended_use(document),
        _model(document),
        _data(document),
        _results(document),
        _detail(document),
        _choice(document),
        _limits(document),
        _lineage(document),
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def _intended_use(document: CardDocument) -> list[str]:
    said = document.intended_use or document.card.description
    paragraphs = [_plain(part) for part in said.splitlines() if part.strip()]
    return ["", "## Intended use", "", *(paragraphs or ["Nobody has said yet."])]


def _model(document: CardDocument) -> list[str]:
    card, parity = document.card, document.parity
    rows = [("task", card.task), ("algorithm", card.algorithm), ("target", card.target)]
    if card.ensemble is not None:
        rows.insert(2, ("made of", ", ".join(one.algorithm for one in card.ensemble.members)))
    named = ", ".join(card.features[:MAX_COLUMNS])
    more = len(card.features) - MAX_COLUMNS
    rows.append(("learned from", f"{named} and {more} more" if more > 0 else named))
    if parity is not None:
        served = f"as a graph that agrees with the original on {parity.rows} rows"
        rows.append(("served", served if parity.agreed else f"not as a graph: {parity.reason}"))
    return ["", "## Model", "", *_facts(rows)]


def _data(document: CardDocument) -> list[str]:
    card, lineage, split = document.card, document.lineage, document.card.split
    rows = []
    if lineage.dataset:
        rows.append(("dataset", f"{lineage.dataset} version {lineage.dataset_version}"))
        rows.append(("SHA-256", lineage.dataset_digest))
    if card.test_rows:
        rows.append(("rows", f"{card.train_rows} to train, {card.test_rows} held out"))
    if split is not None and split.method == "time":
        rows.append(("held out", f"the latest, with {split.column} from {split.boundary} on"))
    elif split is not None and split.method == "group":
        groups = f"{split.test_groups} of {split.test_groups + split.train_groups}"
        rows.append(("held out", f"{groups} groups by {split.column}, seed {split.seed}"))
    elif split is not None:
        how = "at random, class by class" if split.stratified else "at random"
        rows.append(("held out", f"{split.fraction:.0%} {how}, seed {split.seed}"))
    return ["", "## Data", "", *_facts(rows)] if rows else []


def _results(document: CardDocument) -> list[str]:
    card = document.card
    if not card.metrics:
        return []
    rows = [
        (f"**{name}**" if name == card.metric else name, f"{value:.4f}", _interval(interval))
        for name, value in card.metrics.items()
        for interval in [card.intervals.get(name)]
    ]
    lines = ["", "## Results", "", f"On {card.test_rows} rows that training never saw.", ""]
    lines += _table(("metric", "value", "95 % interval"), rows)
    for name in document.plots:
        lines += ["", f"![{title(name)}](plots/{name}.svg)"]
    return lines


def _detail(document: CardDocument) -> Iterator[str]:
    evaluation, metric = document.evaluation, document.card.metric
    if evaluation.classes:
        rows = [
            (
                _plain(one.label),
                f"{one.precision:.4f}",
                f"{one.recall:.4f}",
                f"{one.f1:.4f}",
                one.rows,
            )
            for one in evaluation.classes
        ]
        yield from _section("By class", ("class", "precision", "recall", "F1", "rows"), rows)
    if evaluation.slices:
        sliced = [
            (
                f"{_plain(one.column)}: {_plain(one.value)}",
                one.rows,
                f"{one.metrics[metric]:.4f}" if metric in one.metrics else "-",
                _interval(one.interval),
            )
            for one in evaluation.slices
        ]
        yield from _section("By slice", ("rows with", "rows", metric, "95 % interval"), sliced)
    if evaluation.importance:
        worth = [
            (_plain(one.column), f"{one.loss:.4f}", f"{one.spread:.4f}")
            for one in evaluation.importance[:MAX_IMPORTANT]
        ]
        heading = f"What {metric} loses when a column is shuffled"
        yield from _section(heading, ("column", "loss", "+/-"), worth)
    if evaluation.threshold is not None:
        found = evaluation.threshold
        measured = [
            (name, f"{value:.4g}", f"{found.before[name]:.4g}")
            for name, value in found.metrics.items()
        ]
        heading = f"Take a row for {_plain(found.label)} from {found.value:.4f} on"
        at = ("by " + _plain(found.rule), "at the threshold", "at one half")
        yield from _section(heading, at, measured)
    if evaluation.comparisons:
        compared = [
            (
                f"@{_plain(one.alias)}, version {one.version}",
                _plain(one.reason)
                if one.reason
                else f"{one.metric} {one.mine:.4f} against {one.theirs:.4f} on the same {one.rows} "
                "rows" + (", some of which it may have been trained on" if one.seen else ""),
                _interval(one.interval),
            )
            for one in evaluation.comparisons
        ]
        yield from _section("Beside others", ("version", "", "difference lies in"), compared)


def _choice(document: CardDocument) -> list[str]:
    card = document.card
    if not card.reasons:
        return []
    lines = ["", "## How it was chosen", "", *_items(card.reasons)]
    if card.leaderboard:
        rows = [
            (
                _plain(one.algorithm),
                "-" if one.score is None else f"{one.score:.4f}",
                "-" if one.spread is None else f"{one.spread:.4f}",
                f"{one.seconds:.1f}",
            )
            for one in card.leaderboard
        ]
        lines += ["", *_table(("algorithm", card.metric, "+/-", "seconds"), rows)]
    return lines


def _limits(document: CardDocument) -> list[str]:
    found = document.limits or ("None was found. That is no promise that there is none.",)
    return ["", "## Limits", "", *_items(found)]


def _lineage(document: CardDocument) -> list[str]:
    lineage = document.lineage
    rows = [
        ("made by", "training" if lineage.source == TRAINING else "an import"),
        ("made at", document.created_at.isoformat(timespec="seconds")),
        ("by Modelyard", lineage.code_version),
        ("job", lineage.job_id),
        ("seed", "" if lineage.seed is None else str(lineage.seed)),
        ("parameters", ", ".join(f"{name}={value}" for name, value in lineage.parameters.items())),
        ("libraries", ", ".join(f"{name} {value}" for name, value in lineage.libraries.items())),
    ]
    return ["", "## Lineage", "", *_facts(rows)]


def _section(
    heading: str, headings: Sequence[str], rows: Iterable[Sequence[object]]
) -> Iterator[str]:
    yield from ("", f"### {heading}", "")
    yield from _table(headings, rows)


def _facts(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- {name}: {_plain(value)}" for name, value in rows if value]


def _items(said: Iterable[str]) -> list[str]:
    return [f"- {_plain(one)}" for one in said]


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield "| " + " | ".join(str(value) for value in row) + " |"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"


def _plain(said: str) -> str:
    """Text that Markdown leaves as it is, on one line."""
    marked = _MARKS.sub(r"\\\1", " ".join(said.split()))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
