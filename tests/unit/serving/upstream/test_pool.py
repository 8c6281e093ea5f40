"""Who is asked first, next and again; who rests; and that trouble makes no storm. On a clock that
a test moves.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import Invalid, ModelFailed, ModelyardError, Unavailable
from modelyard.serving.ports import WantedProvider
from modelyard.serving.upstream.budget import FIRST, MOST, RetryBudget
from modelyard.serving.upstream.counts import UpstreamCounters, UpstreamSeries
from modelyard.serving.upstream.description import Upstream
from modelyard.serving.upstream.failures import Kind, UpstreamFailed
from modelyard.serving.upstream.health import FIRST_REST, MOST_REST, TRIPS, Health
from modelyard.serving.upstream.pool import Pool
from modelyard.serving.upstream.target import Target


class TestHealth:
    def test_it_rests_after_five_failures_in_a_row(self) -> None:
        health = Health()
        for _ in range(TRIPS - 1):
            health.failed(0.0)
        assert health.is_ready(0.0)
        health.answered()
        for _ in range(TRIPS):
            health.failed(0.0)
        assert not health.is_ready(FIRST_REST - 0.1)
        assert health.is_ready(FIRST_REST)

    def test_after_a_rest_one_request_tries_it(self) -> None:
        health = Health()
        for _ in range(TRIPS):
            health.failed(0.0)
        health.asked()
        assert not health.is_ready(FIRST_REST)
        health.let_be()
        assert health.is_ready(FIRST_REST)
        health.asked()
        health.answered()
        assert health.is_ready(FIRST_REST)

    def test_each_rest_is_longer_than_the_last_up_to_a_bound(self) -> None:
        health, now = Health(), 0.0
        for _ in range(TRIPS):
            health.failed(now)
        rests = []
        for _ in range(10):
            rests.append(health.ready_at - now)
            now = health.ready_at
            health.asked()
            health.failed(now)
        assert rests[:3] == [5, 10, 20]
        assert rests[-1] == MOST_REST

    def test_it_rests_for_as_long_as_it_asks(self) -> None:
        health = Health()
        health.rest(3.0)
        assert (health.is_ready(2.9), health.is_ready(3.0)) == (False, True)


class TestBudget:
    def test_a_fifth_of_the_requests(self) -> None:
        budget = RetryBudget()
        while budget.take():
            pass
        taken = 0
        for _ in range(100):
            budget.asked()
            taken += budget.take()
        assert 19 <= taken <= 20

    def test_it_is_saved_up_to_a_bound(self) -> None:
        budget = RetryBudget()
        for _ in range(1000):
            budget.asked()
        taken = 0
        while budget.take():
            taken += 1
        assert taken == MOST >= FIRST


class Yard:
    """A pool of targets that do as they are told."""

    def __init__(self, folder: Path, *upstreams: Upstream) -> None:
        counters = UpstreamCounters(folder, "gwy_1")
        self.targets = [
            Target(
                upstream,
                WantedProvider("prv_1", upstream.provider, "http://x", b""),
                None,
                counters.of(UpstreamSeries("tnt_1", upstream.provider, upstream.model)),
            )
            for upstream in upstreams
        ]
        self.pool = Pool(self.targets)
        self.asked: list[str] = []
        self.fails: dict[str, Callable[[], Exception]] = {}

    async def attempt(self, target: Target) -> str:
        model = target.upstream.model
        self.asked.append(model)
        if model in self.fails:
            raise self.fails[model]()
        return model

    async def pursue(self, seconds: float = 10.0) -> Any:
        until = asyncio.get_running_loop().time() + seconds
        return (await self.pool.pursue(self.attempt, until))[1]


def failing(kind: Kind, retry_after: float | None = None) -> Callable[[], Exception]:
    return lambda: UpstreamFailed(kind, "", retry_after)


@pytest.mark.asyncio
async def test_those_of_the_lowest_order_come_first_by_weight(tmp_path: Path) -> None:
    a, b = Upstream("p", "a", weight=3), Upstream("p", "b")
    yard = Yard(tmp_path, Upstream("p", "last", order=1), a, b)
    counted = Counter([await yard.pursue() for _ in range(2000)])
    assert set(counted) == {"a", "b"}
    assert 2.2 < counted["a"] / counted["b"] < 4.2


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", list(Kind))
async def test_any_failure_goes_on_to_the_next_and_costs_no_retry(
    tmp_path: Path, kind: Kind
) -> None:
    yard = Yard(tmp_path, Upstream("p", "a"), Upstream("p", "b", order=1))
    yard.fails["a"] = failing(kind)
    assert [await yard.pursue() for _ in range(4)] == ["b"] * 4
    assert yard.asked.count("b") == 4


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "error", "attempts"),
    [
        (Kind.STATUS, Unavailable, 3),
        (Kind.CONNECT, Unavailable, 3),
        (Kind.REFUSED, ModelFailed, 1),
        (Kind.MALFORMED, ModelFailed, 1),
        (Kind.ADDRESS, ModelFailed, 1),
    ],
)
async def test_only_what_may_go_better_is_tried_again(
    tmp_path: Path, kind: Kind, error: type[ModelyardError], attempts: int
) -> None:
    yard = Yard(tmp_path, Upstream("p", "a"))
    yard.fails["a"] = failing(kind)
    with pytest.raises(error, match="provider 'p'"):
        await yard.pursue()
    assert len(yard.asked) == attempts


@pytest.mark.asyncio
async def test_the_requests_own_fault_goes_no_further(tmp_path: Path) -> None:
    yard = Yard(tmp_path, Upstream("p", "a"), Upstream("p", "b", order=1))
    yard.fails["a"] = lambda: Invalid("no")
    with pytest.raises(Invalid, match="no"):
        await yard.pursue()
    assert yard.asked == ["a"]


@pytest.mark.asyncio
async def test_no_time_no_retry(tmp_path: Path) -> None:
    yard = Yard(tmp_path, Upstream("p", "a"))
    yard.fails["a"] = failing(Kind.LIMITED, 5.0)
    with pytest.raises(Unavailable) as caught:
        await yard.pursue(seconds=1.0)
    assert caught.value.retry_after == 5
    # Nobody asks it meanwhile, and those who come are told when.
    with pytest.raises(Unavailable, match="at the moment") as caught:
        await yard.pursue(seconds=1.0)
    assert 4 <= caught.value.retry_after <= 5
    assert yard.asked == ["a"]


@pytest.mark.asyncio
async def test_an_attempt_that_is_cancelled_says_nothing_of_its_target(tmp_path: Path) -> None:
    yard = Yard(tmp_path, Upstream("p", "a"))
    [target] = yard.targets
    for _ in range(TRIPS):
        target.health.failed(-FIRST_REST)
    yard.fails["a"] = asyncio.CancelledError  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await yard.pursue()
    del yard.fails["a"]
    assert await yard.pursue() == "a"
