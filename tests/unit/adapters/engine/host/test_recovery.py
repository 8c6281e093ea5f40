from __future__ import annotations

from modelyard.adapters.engine.host.recovery import DEATHS, RETRY_SECONDS, Recovery


def test_each_death_is_followed_by_a_longer_pause_and_the_third_by_failure() -> None:
    recovery = Recovery()
    pauses = []
    for _ in range(DEATHS):
        assert recovery.reason == ""
        recovery.died("it was killed", 100.0, healthy=False)
        pauses.append(recovery.not_before - 100.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_SECONDS
    assert recovery.reason == "3 replicas in a row came to nothing: it was killed"


def test_replicas_that_were_of_use_may_die_as_often_as_they_like() -> None:
    recovery = Recovery()
    for _ in range(20):
        recovery.died("it was killed", 0.0, healthy=True)
        recovery.loaded()
        assert recovery.reason == ""
        assert recovery.not_before < 0.2


def test_after_a_failure_one_more_death_is_enough() -> None:
    recovery = Recovery()
    for _ in range(DEATHS):
        recovery.died("it was killed", 0.0, healthy=False)
    recovery.loaded()
    assert recovery.reason == ""
    recovery.died("again", 50.0, healthy=False)
    assert "again" in recovery.reason
    assert recovery.not_before == 50.0 + RETRY_SECONDS
