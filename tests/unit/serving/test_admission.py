"""Who may join a queue, by what the queue has measured and whose requests are inside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelyard.core.errors import Unavailable
from modelyard.serving.admission import Admission, Pace


class Line:
    """A queue that says what it is told to."""

    def __init__(self, expected_seconds: float) -> None:
        self.expected_seconds = expected_seconds


def test_nothing_is_expected_of_a_model_that_has_not_run() -> None:
    assert Pace().expected(waiting=100, running=1, most_rows=1) == 0.0


@pytest.mark.parametrize(
    ("waiting", "running", "most_rows", "expected"),
    [
        # The one that runs is half over, then come those that wait, then this one.
        (0, 1, 1, 1.5),
        (3, 1, 1, 4.5),
        # All of them fit into one call, or not quite.
        (3, 1, 8, 1.5),
        (8, 1, 8, 2.5),
        # Two calls at a time.
        (3, 2, 1, 2.5),
    ],
)
def test_the_wait_is_the_calls_before(
    waiting: int, running: int, most_rows: int, expected: float
) -> None:
    pace = Pace()
    pace.ran(1.0, requests=1, rows=1)
    assert pace.expected(waiting, running, most_rows) == expected


def test_requests_of_many_rows_take_more_calls() -> None:
    pace = Pace()
    pace.ran(1.0, requests=2, rows=8)
    assert pace.expected(waiting=3, running=1, most_rows=8) == 2.5


def test_a_call_out_of_the_ordinary_does_not_count() -> None:
    pace = Pace()
    for seconds in (0.1, 0.1, 60.0, 0.1):
        pace.ran(seconds, requests=1, rows=1)
    assert pace.expected(waiting=0, running=1, most_rows=1) == pytest.approx(0.15)


def test_whoever_would_be_late_is_told_when_to_come_back() -> None:
    admission = Admission(Line(6.0))
    admission.check("key", 12.0)
    with pytest.raises(Unavailable, match="about 6 s") as told:
        admission.check("key", 6.0)
    assert told.value.retry_after == 3
    with pytest.raises(Unavailable) as told:
        admission.check("key", 0.1)
    assert told.value.retry_after == 6


@pytest.mark.asyncio
async def test_one_key_cannot_fill_the_queue_for_others() -> None:
    line = Line(0.6)
    admission, answers = Admission(line), []
    for _ in range(10):
        answers.append(asyncio.get_running_loop().create_future())
        admission.enter("loud", answers[-1])
    with pytest.raises(Unavailable):
        admission.check("loud", 1.0)
    # The other has room beyond, until it has as much as the first or the queue is full.
    admission.check("quiet", 1.0)
    line.expected_seconds = 0.75
    with pytest.raises(Unavailable):
        admission.check("quiet", 1.0)
    line.expected_seconds = 0.6
    for _ in range(10):
        answers.append(asyncio.get_running_loop().create_future())
        admission.enter("quiet", answers[-1])
    with pytest.raises(Unavailable):
        admission.check("quiet", 1.0)
    for answer in answers[:5]:
        answer.cancel()
    await asyncio.sleep(0)
    admission.check("loud", 1.0)
    _end(answers[5:])
    await asyncio.sleep(0)
    assert not vars(admission)["_inside"]


def _end(answers: list[asyncio.Future[Any]]) -> None:
    for answer in answers:
        answer.set_result({})
