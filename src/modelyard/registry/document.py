"""The model card as one document: what a version is for, how it was made and how well it does.

Its parts are those of Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from modelyard.registry.card import Card
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.registry.model import Model
from modelyard.registry.parity import Parity
from modelyard.registry.plots import plots
from modelyard.registry.version import Lineage, ModelVersion

FEW_ROWS: Final = 100
"""Held-out rows below which every figure is rough."""
POOR_F1: Final = 0.5


class CardDocument(msgspec.Struct, frozen=True):
    """Everything that is known of a version. `limits` are what to mind before it is used; `plots`
    are the names of its pictures.
    """

    model: str
    version: int
    created_at: datetime
    intended_use: str
    card: Card
    evaluation: Evaluation
    lineage: Lineage
    parity: Parity | None
    limits: tuple[str, ...]
    plots: tuple[str, ...]


def document(model: Model, version: ModelVersion, evaluation: Evaluation) -> CardDocument:
    """The version's card."""
    return CardDocument(
        model=model.name,
        version=version.number,
        created_at=version.created_at,
        intended_use=model.intended_use,
        card=version.card,
        evaluation=evaluation,
        lineage=version.lineage,
        parity=version.parity,
        limits=_limits(version.card, evaluation),
        plots=plots(version.card, evaluation),
    )


def _limits(card: Card, evaluation: Evaluation) -> tuple[str, ...]:
    found = list(card.warnings)
    if not card.metrics:
        found.append("nothing was measured here: how well it does is not known")
    elif 0 < card.test_rows < FEW_ROWS:
        found.append(f"it was measured on {card.test_rows} rows only: the figures are rough")
    found += [
        f"class '{one.label}' is told badly: F1 {one.f1:.2f} over {one.rows} held-out rows"
        for one in evaluation.classes
        if one.f1 < POOR_F1
    ]
    whole = card.metrics.get(card.metric)
    for one in evaluation.slices:
        if whole is None or one.interval is None:
            continue
        smaller = card.metric in SMALLER_IS_BETTER
        if (one.interval.low > whole) if smaller else (one.interval.high < whole):
            found.append(
                f"it does worse where {one.column} is {one.value}: {card.metric} "
                f"{one.metrics[card.metric]:.4g} against {whole:.4g} of all rows"
            )
    return tuple(found)
