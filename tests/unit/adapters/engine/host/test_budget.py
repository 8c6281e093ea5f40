from __future__ import annotations

from typing import Any

import pytest

from modelyard.adapters.engine.host.budget import Budget, used
from modelyard.adapters.engine.host.messages import Load
from modelyard.adapters.engine.host.replica import Cause, Replica
from modelyard.adapters.engine.host.replica_set import ReplicaSet
from tests.unit.adapters.engine.host.sets import Noted, add, made

pytestmark = pytest.mark.asyncio

NOW = 1000.0
BUDGET = Budget(400)


def filled(*names: str, **options: Any) -> list[ReplicaSet]:
    """Sets of a replica of 100 bytes each, the first of them used longest ago."""
    sets = []
    for at, name in enumerate(names):
        each = made(name, **options)
        each.want(Noted(), each.spec, 10.0 + at)
        add(each, f"rep_{name}")
        sets.append(each)
    return sets


def ids(need: int, sets: list[ReplicaSet]) -> list[str]:
    replicas: list[Replica] = [one for each in sets for one in each.replicas]
    return [one.id for one in BUDGET.victims(need, replicas, sets, NOW)]


async def test_the_least_recently_used_give_way_and_no_more_than_needed() -> None:
    sets = filled("a", "b", "c", "d")
    assert ids(100, sets) == ["rep_a"]
    assert ids(150, sets) == ["rep_a", "rep_b"]
    sets[0].hear(Noted(), Load(sets[0].spec.key, answered=1), 500.0)
    assert ids(100, sets) == ["rep_b"]


async def test_who_is_busy_pinned_or_has_just_come_up_does_not_give_way() -> None:
    (pinned,) = filled("a", pinned=True)
    busy, young, last = filled("b", "c", "d")
    busy.hear(Noted(), Load(busy.spec.key, in_flight=1), 20.0)
    young.replicas[0].loaded_at = NOW - 0.5
    assert ids(100, [pinned, busy, young, last]) == ["rep_d"]


async def test_none_gives_way_where_that_would_not_be_enough() -> None:
    sets = filled("a", "b", "c", "d")
    for each in sets[1:]:
        each.hear(Noted(), Load(each.spec.key, waiting=1), 20.0)
    assert ids(100, sets) == ["rep_a"]
    assert ids(200, sets) == []


async def test_those_that_leave_already_count() -> None:
    sets = filled("a", "b", "c", "d")
    sets[3].replicas[0].draining = Cause.MEMORY
    assert ids(100, sets) == []
    assert ids(200, sets) == ["rep_a"]


async def test_what_has_grown_too_large_gives_way_as_far_as_possible() -> None:
    sets = filled("a", "b", "c", "d")
    sets[3].hear(Noted(), Load(sets[3].spec.key, in_flight=1), 20.0)
    assert ids(0, sets) == []
    sets[3].replicas[0].peak = 900
    assert used(one for each in sets for one in each.replicas) == 1200
    assert ids(0, sets) == ["rep_a", "rep_b", "rep_c"]


async def test_bounds() -> None:
    assert BUDGET.holds(100, [])
    assert not BUDGET.holds(401, [])
    assert BUDGET.bound(10) == 400
    assert Budget(1 << 40).bound(1 << 30) == 4 << 30
    assert Budget(1 << 40).bound(1 << 20) == 1025 << 20
