"""Usage: what the journal said, added up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from modelyard.core.metering import Quantities


class UsageBy(StrEnum):
    """How usage is grouped."""

    DAY = "day"
    KEY = "key"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    TENANT = "tenant"


class Side(StrEnum):
    """Whose usage: what the tenant USED, what was SERVED by its deployments to whomever, or ALL
    there is of every tenant.
    """

    USED = "used"
    SERVED = "served"
    ALL = "all"


class UsageQuery(msgspec.Struct, frozen=True):
    """Which usage: requests that began in [since, until), both UTC."""

    by: tuple[UsageBy, ...] = (UsageBy.DAY,)
    since: datetime | None = None
    until: datetime | None = None
    side: Side = Side.USED


class UsageSum(msgspec.Struct, frozen=True):
    """One group at one price, as the store adds it up.

    `groups` are, as asked, a day (2026-11-22), the id of a key or of a tenant, or a name.
    `requests` counts those that were answered well, `errors` the others. `price_id` is None where
    no price was in force. `duration` is in microseconds. `cached` counts those of the requests
    that were answered from the response cache. Tokens and `compute` (microseconds) are of what is
    charged for (`core.metering`); `cached_tokens` are among the prompts'.
    """

    groups: tuple[str, ...]
    price_id: str | None
    requests: int
    errors: int
    rows: int
    bytes_in: int
    bytes_out: int
    duration: int
    cached: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    compute: int = 0

    @property
    def quantities(self) -> Quantities:
        """What is charged for."""
        return Quantities(
            self.requests,
            self.rows,
            self.prompt_tokens - self.cached_tokens,
            self.cached_tokens,
            self.completion_tokens,
            self.compute,
        )


class UsageLine(msgspec.Struct, frozen=True):
    """One line of a usage report. `cost` is exact, at list amounts; None where nothing was
    priced.
    """

    groups: tuple[str, ...]
    requests: int
    errors: int
    rows: int
    bytes_in: int
    bytes_out: int
    mean_ms: float
    cost: Decimal | None
    currency: str | None
    cached: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    compute_ms: float = 0.0
