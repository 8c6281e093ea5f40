"""Usage: what the journal said, added up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec


class UsageBy(StrEnum):
    """How usage is grouped."""

    DAY = "day"
    KEY = "key"
    MODEL = "model"
    DEPLOYMENT = "deployment"


class UsageQuery(msgspec.Struct, frozen=True):
    """Which usage: requests that began in [since, until), both UTC."""

    by: UsageBy = UsageBy.DAY
    since: datetime | None = None
    until: datetime | None = None


class UsageSum(msgspec.Struct, frozen=True):
    """One group at one price, as the store adds it up.

    `group` is a day (2026-11-22), a key id or a name. `requests` counts those that were answered
    well (status below 400), which alone cost anything; `errors` counts the others. `price_id`
    is None where no price was in force. `duration` is in microseconds. `cached` counts those of
    the requests that were answered from the response cache. Tokens are of those and of requests
    whose client went away while they were generated; `cached_tokens` are among the prompts'.
    """

    group: str
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


class UsageLine(msgspec.Struct, frozen=True):
    """One line of a usage report. `cost` is exact; None where nothing was priced."""

    group: str
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
