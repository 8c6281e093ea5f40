"""Billing periods: calendar months in a tenant's time zone.

A month begins when its first day does there, whatever daylight saving makes of that day, and ends
where the next one begins: no moment lies in two months or in none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from modelyard.core.errors import Invalid

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})")


class Period(msgspec.Struct, frozen=True, order=True):
    """The moments in [start, end), both UTC."""

    start: datetime
    end: datetime


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name in the IANA database. Raises Invalid when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            f"time zone {name[:60]!r} must be one of the IANA database, such as Europe/Berlin"
        ) from None


def month_of(moment: datetime, zone: ZoneInfo) -> Period:
    """The month there in which the moment lies."""
    there = moment.astimezone(zone)
    return _month(there.year, there.month, zone)


def named_month(text: str, zone: ZoneInfo) -> Period:
    """The month of a name such as `2026-11`. Raises Invalid for anything else."""
    found = _MONTH.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 12 or not 1970 <= int(found[1]) <= 9000:
        raise Invalid(f"month {text[:20]!r} must be of the form 2026-11")
    return _month(int(found[1]), int(found[2]), zone)


def _month(year: int, month: int, zone: ZoneInfo) -> Period:
    after = (year, month + 1) if month < 12 else (year + 1, 1)
    return Period(_first_moment(year, month, zone), _first_moment(*after, zone))


def _first_moment(year: int, month: int, zone: ZoneInfo) -> datetime:
    return datetime(year, month, 1, tzinfo=zone).astimezone(UTC)
