"""Rounds: due ones run while the lease is held, and no failure of one stops another."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from modelyard.adapters.engine.rounds import Round, Rounds
from modelyard.core.clock import SystemClock
from modelyard.core.errors import Unavailable


def run(rounds: Rounds, until: Callable[[], bool], seconds: float = 5.0) -> None:
    thread = threading.Thread(target=rounds.run)
    thread.start()
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(0.005)
    rounds.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert until()


def make(
    *rounds: Round, acquire: Callable[[], bool] = lambda: True, released: list[int] | None = None
) -> Rounds:
    kept = [] if released is None else released
    return Rounds(
        acquire=acquire, release=lambda: kept.append(1), rounds=rounds, clock=SystemClock()
    )


def test_a_round_that_fails_is_tried_again_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed: list[int] = []
    done: list[int] = []

    def fail() -> None:
        failed.append(1)
        if len(failed) < 4:
            raise Unavailable("the database is away")

    with caplog.at_level("INFO"):
        run(
            make(Round("bad", 0.01, fail), Round("good", 0.01, lambda: done.append(1))),
            lambda: len(failed) > 4 and len(done) > 3,
        )
    said = [record.message for record in caplog.records]
    assert said == ["round failed", "round works again"]


def test_nothing_is_done_without_the_lease_and_it_is_given_back() -> None:
    asked: list[int] = []
    done: list[int] = []
    released: list[int] = []

    def acquire() -> bool:
        asked.append(1)
        return False

    rounds = make(Round("r", 0, lambda: done.append(1)), acquire=acquire, released=released)
    run(rounds, lambda: bool(asked))
    assert done == []
    assert released == [1]


def test_a_lease_that_cannot_be_asked_for_is_not_held() -> None:
    asked: list[int] = []
    done: list[int] = []

    def acquire() -> bool:
        asked.append(1)
        raise Unavailable("the database is away")

    run(make(Round("r", 0, lambda: done.append(1)), acquire=acquire), lambda: bool(asked))
    assert done == []


def test_each_round_keeps_its_own_pace() -> None:
    slow: list[int] = []
    fast: list[int] = []
    run(
        make(
            Round("slow", 60, lambda: slow.append(1)), Round("fast", 0.01, lambda: fast.append(1))
        ),
        lambda: len(fast) > 3,
    )
    assert len(slow) == 1


SIGNALLED = """
import signal
from modelyard.adapters.engine.rounds import Round, Rounds
from modelyard.core.clock import SystemClock

rounds = Rounds(
    acquire=lambda: True,
    release=lambda: print("released", flush=True),
    rounds=[Round("r", 0, lambda: None)],
    clock=SystemClock(),
)
signal.signal(signal.SIGTERM, lambda *_: rounds.stop())
print("begins", flush=True)
rounds.run()
"""


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.12])
def test_a_signal_stops_them_wherever_they_are(seconds: float) -> None:
    # In a process of its own, since a signal astray would end the tests and not one of them.
    with subprocess.Popen(
        [sys.executable, "-c", SIGNALLED], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert (said, process.returncode) == ("released\n", 0)
