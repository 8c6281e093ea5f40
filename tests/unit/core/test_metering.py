"""What is charged for a training job, by how it came to its end."""

from datetime import UTC, datetime, timedelta

import pytest

from modelyard.core.jobs import Job, JobState
from modelyard.core.metering import charged_training

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)
WEEKEND = NOW + timedelta(days=2)
RUNNING = Job("job_1", "tnt_1", "train", {}, NOW).claimed("wrk_1", NOW)


def test_a_job_that_was_cancelled_as_it_ran_is_charged_for() -> None:
    asked = RUNNING.cancelled(NOW)
    assert charged_training(asked.ended(LATER, JobState.CANCELLED)) == 90_000_000


@pytest.mark.parametrize("count", [True, False])
def test_a_wait_in_the_queue_after_a_lost_attempt_is_free(count: bool) -> None:
    waiting = RUNNING.put_back(LATER, count=count)
    assert charged_training(waiting.cancelled(WEEKEND)) == 0
    again = waiting.claimed("wrk_2", WEEKEND)
    ended = again.ended(WEEKEND + timedelta(seconds=5), JobState.SUCCEEDED)
    assert charged_training(ended) == 5_000_000


def test_an_attempt_that_was_lost_while_it_was_to_be_cancelled_is_free() -> None:
    reaped = RUNNING.cancelled(NOW).put_back(WEEKEND, count=True)
    assert reaped.state is JobState.CANCELLED
    assert charged_training(reaped) == 0
