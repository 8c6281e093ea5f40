from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import ManualClock, SystemClock, from_microseconds, microseconds


@given(st.datetimes(datetime(1900, 1, 1), datetime(3000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_microseconds_keep_a_moment_exactly(moment: datetime) -> None:
    assert from_microseconds(microseconds(moment)) == moment


def test_the_hosts_clock_is_utc_and_goes_forward() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_a_manual_clock_moves_both_hands() -> None:
    clock = ManualClock()
    start = clock.now()
    clock.advance(1.5)
    assert clock.now() - start == timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5
