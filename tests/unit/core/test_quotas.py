from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import from_microseconds, microseconds
from modelyard.core.quotas import FOREVER, Measure, Period, bounds, money

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/Havana",
]
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)).map(  # noqa: DTZ001
    lambda moment: microseconds(moment.replace(tzinfo=UTC))
)
PERIODS = st.sampled_from([Period.DAY, Period.MONTH])


@given(MOMENTS, PERIODS, st.sampled_from(ZONES))
def test_each_moment_is_in_its_period_and_the_next_begins_where_it_ends(
    at: int, period: Period, zone: str
) -> None:
    since, until = bounds(period, at, zone)
    assert since <= at < until
    assert bounds(period, since, zone) == (since, until)
    assert bounds(period, until - 1, zone) == (since, until)
    assert bounds(period, until, zone)[0] == until


def test_days_are_as_long_as_the_clock_makes_them() -> None:
    spring = microseconds(datetime(2026, 3, 29, 12, tzinfo=UTC))
    since, until = bounds(Period.DAY, spring, "Europe/Berlin")
    assert from_microseconds(since) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert (until - since) // 3_600_000_000 == 23


def test_what_never_ends_has_one_period() -> None:
    assert bounds(Period.TOTAL, 5, "UTC") == (0, FOREVER)
    assert bounds(Period.MINUTE, 5, "UTC") == (0, FOREVER)


@pytest.mark.parametrize(
    ("picos", "told"), [(0, "0"), (1, "0.000000000001"), (25 * 10**12, "25"), (10**18, "1000000")]
)
def test_money_is_told_exactly(picos: int, told: str) -> None:
    assert Measure.MONEY.told(picos) == told
    assert money(picos) == Decimal(told)
