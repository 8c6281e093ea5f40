"""What quotas are made of: what they count, and over which time."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from modelyard.core.clock import from_microseconds, microseconds

PICO: Final = 10**12
"""Money is counted in integers: a unit of the currency is so many."""

FOREVER: Final = 1 << 62
"""Microseconds after 1970 that never come."""


def money(picos: int) -> Decimal:
    """The amount of money that is counted so."""
    return Decimal(picos).scaleb(-12).normalize() + 0


class Measure(StrEnum):
    """What is counted. Money is in millionths of a millionth of the server's currency."""

    REQUESTS = "requests"
    ROWS = "rows"
    TOKENS = "tokens"
    MONEY = "money"
    CONCURRENCY = "concurrency"

    def told(self, amount: int) -> str:
        """An amount in words. Of money, the number alone: the currency is the server's."""
        if self is Measure.MONEY:
            return f"{money(amount):f}"
        unit = "requests" if self is Measure.CONCURRENCY else self.value
        return f"{amount} {unit}"


class Period(StrEnum):
    """The time over which it is counted.

    `moment` is for what is under way at once. `minute` is any sixty seconds. A day and a month
    begin at midnight in the time zone of the quota. `total` never ends.
    """

    MOMENT = "moment"
    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    @property
    def is_budget(self) -> bool:
        """Whether what is billed in it is counted, and not what is asked of the server."""
        return self in (Period.DAY, Period.MONTH, Period.TOTAL)


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ZoneInfoNotFoundError or ValueError."""
    return ZoneInfo(name)


def bounds(period: Period, at: int, zone: str) -> tuple[int, int]:
    """The beginning and the end of the budget's period in which a moment is: [since, until).

    All in microseconds after 1970. Days of 23 and 25 hours are as long as they are.
    """
    if not period.is_budget or period is Period.TOTAL:
        return 0, FOREVER
    local = from_microseconds(at).astimezone(zone_named(zone))
    first = datetime(local.year, local.month, local.day if period is Period.DAY else 1)  # noqa: DTZ001 - the zone comes below
    if period is Period.DAY:
        following = first + timedelta(days=1)
    else:
        following = (first + timedelta(days=32)).replace(day=1)
    since, until = (
        microseconds(each.replace(tzinfo=zone_named(zone))) for each in (first, following)
    )
    return since, until
