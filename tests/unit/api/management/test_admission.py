"""Turns are bounded, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from modelyard.api.management.admission import QUEUE, WIDTH, Lane, Lanes
from modelyard.core.errors import Unavailable

pytestmark = pytest.mark.asyncio


async def test_a_lane_lets_in_as_many_as_it_is_wide() -> None:
    lanes, inside, most = Lanes(), 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with lanes.turn(Lane.FILES):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == WIDTH[Lane.FILES]


async def test_lanes_do_not_wait_for_each_other() -> None:
    lanes = Lanes(patience=0.01)
    async with lanes.turn(Lane.FILES), lanes.turn(Lane.FILES):
        async with lanes.turn(Lane.QUICK):
            pass
        with pytest.raises(Unavailable):
            async with lanes.turn(Lane.FILES):
                pass
    async with lanes.turn(Lane.FILES):
        pass


async def test_a_long_queue_is_refused_at_once() -> None:
    lanes, free = Lanes(), asyncio.Event()

    async def work() -> None:
        async with lanes.turn(Lane.FILES):
            await free.wait()

    waiting = [asyncio.create_task(work()) for _ in range(WIDTH[Lane.FILES] + QUEUE)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        async with lanes.turn(Lane.FILES):
            pass
    free.set()
    await asyncio.gather(*waiting)


async def test_who_gives_up_waiting_leaves_the_turn_to_others() -> None:
    lanes = Lanes()
    async with lanes.turn(Lane.FILES), lanes.turn(Lane.FILES):
        waiting = asyncio.create_task(lanes.turn(Lane.FILES).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with lanes.turn(Lane.FILES), lanes.turn(Lane.FILES):
        pass
