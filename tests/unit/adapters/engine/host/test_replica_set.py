from __future__ import annotations

import pytest

from modelyard.adapters.engine.host.messages import (
    Connected,
    Failed,
    Load,
    Offer,
    Prepared,
    Refused,
)
from modelyard.adapters.engine.host.recovery import RETRY_SECONDS
from tests.unit.adapters.engine.host.sets import PROFILE, Noted, add, made

pytestmark = pytest.mark.asyncio


async def test_work_asks_for_replicas_and_a_gateway_that_gave_up_does_not() -> None:
    each, peer = made(minimum=0, maximum=3, target_concurrency=2), Noted()
    each.want(peer, each.spec, 0.0)
    assert each.demand == each.wanted == 0
    each.ask(peer, 1, 1.0)
    assert (each.demand, each.waiting_since) == (1, 1.0)
    each.hear(peer, Load(each.spec.key, waiting=5), 2.0)
    assert each.demand == 3
    each.hear(peer, Load(each.spec.key), 3.0)
    assert each.demand == 0
    each.hear(peer, Load(each.spec.key, waiting=1), 4.0)
    assert (each.demand, each.waiting_since) == (1, 1.0)
    each.unwant(peer, 5.0)
    assert (each.demand, each.load, each.orphaned_at) == (0, 0, 5.0)


async def test_loads_of_several_gateways_add_up() -> None:
    each = made(maximum=9, target_concurrency=2)
    for load in (3, 4):
        each.hear(Noted(), Load(each.spec.key, in_flight=load), 0.0)
    assert each.demand == 4


async def test_a_version_of_which_nothing_is_known_must_prove_itself() -> None:
    each, peer = made(profile=None, minimum=0), Noted()
    each.want(peer, each.spec, 0.0)
    each.tell_prepared()
    assert peer.heard == []
    assert each.demand == 1
    each.loaded(add(each, "rep_1"), 1.0)
    assert peer.heard == [Prepared(each.spec.key, PROFILE), Offer(each.spec.key, "rep_1")]
    assert each.demand == 0


async def test_replicas_are_kept_for_a_while_after_the_load() -> None:
    each, peer = made(minimum=0, maximum=4, target_concurrency=1, idle_seconds=100.0), Noted()
    each.hear(peer, Load(each.spec.key, in_flight=3), 0.0)
    assert each.kept(0.0) == 3
    each.hear(peer, Load(each.spec.key, answered=3), 1.0)
    assert each.kept(20.0) == 3
    assert each.kept(40.0) == 1
    assert each.kept(102.0) == 0


async def test_everybody_has_one_channel_to_each_replica() -> None:
    each, one, other = made(), Noted(), Noted()
    each.want(one, each.spec, 0.0)
    each.ask(one, 7, 0.0)
    each.loaded(add(each, "rep_1"), 0.5)
    assert [m for m in one.heard if isinstance(m, Connected | Offer)] == [
        Connected(7, each.spec.key, "rep_1")
    ]
    each.want(other, each.spec, 1.0)
    assert other.heard == [Prepared(each.spec.key, PROFILE), Offer(each.spec.key, "rep_1")]
    # It has one, as far as is known here: perhaps the replica has just died.
    each.ask(one, 8, 2.0)
    assert len(each.asked) == 1
    each.answer_asked(3.5)
    assert one.heard[-1] == Connected(8, each.spec.key, "rep_1")
    assert each.asked == []


async def test_who_asks_for_a_failed_version_is_turned_away_until_it_is_tried_again() -> None:
    each, peer = made(), Noted()
    each.want(peer, each.spec, 0.0)
    each.ask(peer, 1, 0.0)
    each.recovery.failed("no such operator", 10.0)
    each.tell_failed(10.0)
    assert peer.heard == [
        Failed(each.spec.key, "no such operator", RETRY_SECONDS),
        Refused(1, each.spec.key, "no such operator", RETRY_SECONDS),
    ]
    each.ask(peer, 2, 10.0 + RETRY_SECONDS)
    assert len(each.asked) == 1
    assert each.wanted == 1


async def test_health_is_a_long_life_or_an_answer_not_long_ago() -> None:
    each = made()
    replica = add(each, "rep_1", loaded_at=100.0)
    assert not each.healthy(replica, 101.0)
    assert each.healthy(replica, 110.0)
    each.hear(Noted(), Load(each.spec.key, answered=1), 80.0)
    assert each.healthy(replica, 101.0)
