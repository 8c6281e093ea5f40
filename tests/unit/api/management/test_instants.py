"""Moments in requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from modelyard.api.management.instants import parse_instant, utc
from modelyard.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T01:30:00+02:00", datetime(2026, 11, 21, 23, 30, tzinfo=UTC)),
    ],
)
def test_days_and_moments_are_read(text: str | None, moment: datetime | None) -> None:
    assert parse_instant("since", text) == moment


@pytest.mark.parametrize(
    "text", ["", "now", "5", "2026-13-01", "2026-11-22T10:00:00", "9999-12-31T23:00:00-05:00"]
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match="'since'"):
        parse_instant("since", text)


def test_a_moment_before_the_calendar_is_refused() -> None:
    moment = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    with pytest.raises(Invalid, match="calendar"):
        utc("at", moment)
