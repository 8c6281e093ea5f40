"""Moments in requests: ISO 8601, with a zone, kept in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from modelyard.core.errors import Invalid


def utc(name: str, moment: datetime) -> datetime:
    """The same moment in UTC.

    Raises:
        Invalid: no zone, or so close to the calendar's ends that UTC has no name for it.
    """
    if moment.tzinfo is None:
        raise Invalid(f"'{name}' needs a zone, such as 2026-11-22T10:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid(f"'{name}' is out of the calendar's bounds") from None


def parse_instant(name: str, text: str | None) -> datetime | None:
    """Read a query parameter: a moment with a zone, or a day, which begins at midnight UTC.

    Raises:
        Invalid: neither of the two.
    """
    if text is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"'{name}' {text[:40]!r} must be a day such as 2026-11-22 "
            "or a moment such as 2026-11-22T10:00:00Z"
        ) from None
    return utc(name, moment)
