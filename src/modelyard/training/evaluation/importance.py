"""What each column is worth to a model: permutation importance (Breiman 2001) on held-out rows."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np

from modelyard.registry.evaluation import Importance
from modelyard.registry.gate import SMALLER_IS_BETTER
from modelyard.training.evaluation.metrics import OF_PROBABILITIES, measure, values
from modelyard.training.evaluation.prediction import Predicted, ask
from modelyard.training.rows import Rows
from modelyard.training.spec import TaskKind

MAX_ROWS: Final = 1000
MAX_COLUMNS: Final = 100
REPEATS: Final = 3
MAX_SECONDS: Final = 5.0
"""A model that would take longer to ask so often is not asked."""


def importances(
    model: Any, rows: Rows, task: TaskKind, metric: str, seed: int
) -> tuple[Importance, ...]:
    """Every column, the most important one first; none for a model or a table too large,
    or of one column.

    Columns that say the same share what they are worth: each looks less important than it is.
    """
    names = rows.features.columns
    if not task.supervised or not 1 < len(names) <= MAX_COLUMNS:
        return ()
    rows = rows.take(np.arange(min(len(rows), MAX_ROWS)))
    began = time.monotonic()
    whole = values(_ask(model, rows, task, metric), (metric,)).get(metric)
    asking = (time.monotonic() - began) * len(names) * REPEATS
    if whole is None or asking > MAX_SECONDS:
        return ()
    generator = np.random.default_rng(seed)
    sign = -1 if metric in SMALLER_IS_BETTER else 1
    found = []
    copies = np.tile(np.arange(len(rows)), REPEATS)
    several = rows.take(copies)
    each = np.arange(REPEATS)[:, None] == np.arange(len(copies)) // len(rows)
    for name in names:
        order = np.concatenate([generator.permutation(len(rows)) for _ in range(REPEATS)])
        shuffled = several.features.with_columns(rows.features.get_column(name)[order])
        said = _ask(model, Rows(shuffled, several.target), task, metric)
        scores = measure(said, each * 1.0, (metric,))[metric]
        losses = sign * (whole - np.where(np.isfinite(scores), scores, whole))
        found.append(Importance(name, float(np.mean(losses)), float(np.std(losses))))
    return tuple(sorted(found, key=lambda one: -one.loss))


def _ask(model: Any, rows: Rows, task: TaskKind, metric: str) -> Predicted:
    return ask(model, rows, task, likely=metric in OF_PROBABILITIES)
