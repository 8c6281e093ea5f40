"""How far budgets are spent, in a file beside what gateways count.

The controller writes it anew; whoever answers `/metrics` reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from modelyard.core.quotas import Measure, Period

FILE: Final = "budgets.counts"


class BudgetCount(msgspec.Struct, frozen=True):
    """One budget in its present period. `key_id` is empty for one of the whole tenant; `alert` is
    0, 1 (nearly spent) or 2 (spent), as far as was told.
    """

    tenant_id: str
    key_id: str
    quota_id: str
    measure: Measure
    period: Period
    strict: bool
    amount: int
    spent: int
    alert: int


def write_budgets(folder: Path, counts: list[BudgetCount]) -> None:
    """Put the counts in the place of the last ones.

    Raises:
        OSError: the disk is full.
    """
    fresh = folder / f"{FILE}.new"
    fresh.write_bytes(msgspec.json.encode(counts))
    fresh.replace(folder / FILE)


def read_budgets(folder: Path) -> list[BudgetCount]:
    """The last counts; none where no controller has written any."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=list[BudgetCount])
    except FileNotFoundError:
        return []
