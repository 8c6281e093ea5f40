"""Many versions on little memory, and replicas that come and go with the load."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from modelyard.adapters.engine.host.budget import used
from modelyard.adapters.engine.host.memory import BASE
from modelyard.adapters.engine.host.messages import Load, Refused, ReplicaSpec, Unwant
from modelyard.serving.replica.messages import Answer
from tests.e2e import graphs
from tests.integration.engine.host.yard import (
    MIB,
    FakeGateway,
    Yard,
    rows,
    running,
    until,
)

VERSIONS = 9

pytestmark = pytest.mark.asyncio


def specs(yard: Yard, folder: Path, count: int, **options: Any) -> list[ReplicaSpec]:
    """Versions that multiply by 1, 2, 3 and so on."""
    return [
        yard.spec(graphs.scaled(folder / f"{factor}.onnx", factor), f"times-{factor}", **options)
        for factor in range(1, count + 1)
    ]


async def answers(gateway: FakeGateway, spec: ReplicaSpec, factor: int) -> None:
    """One request, with a cold start if need be."""
    live = gateway.live(spec.key)
    if not live:
        await gateway.connect(spec.key)
        live = gateway.live(spec.key)
    answer, outputs = await gateway.channels[live[-1]].ask(rows(1, 2))
    assert isinstance(answer, Answer)
    np.testing.assert_array_equal(outputs["y"], [[factor, 2 * factor]])
    gateway.done(spec.key)


async def test_more_versions_than_memory_take_turns(tmp_path: Path) -> None:
    # An estimate is BASE and something, so that three fit at first.
    async with running(tmp_path, budget=4 * BASE - 1) as yard:
        gateway = yard.gateway()
        wanted = specs(yard, tmp_path, VERSIONS)
        for spec in wanted:
            gateway.want(spec)
        most = 0
        for factor, spec in enumerate(wanted, 1):
            await answers(gateway, spec, factor)
            assert used(yard.scheduler.replicas.values()) <= yard.budget.size
            most = max(most, len(yard.scheduler.replicas))
        assert 3 <= most < VERSIONS
        assert not [m for m in gateway.heard if isinstance(m, Refused)]


async def test_who_is_busy_or_pinned_stays(tmp_path: Path) -> None:
    async with running(tmp_path, budget=2 * BASE + 2 * MIB) as yard:
        gateway = yard.gateway()
        pinned, busy, third = specs(yard, tmp_path, 3, memory_bytes=512 * MIB)
        # As large as they are said to be, however little they take.
        yard.scheduler.measured = lambda replica, size: None  # type: ignore[method-assign]
        gateway.want(yard.with_options(pinned, pinned=True))
        await gateway.prepared(pinned.key)
        gateway.want(busy)
        await gateway.prepared(busy.key)
        gateway.say(Load(busy.key, in_flight=1))
        gateway.want(third)
        cold = asyncio.create_task(answers(gateway, third, 3))
        await asyncio.sleep(1.5)
        assert not cold.done()
        assert gateway.live(busy.key)
        gateway.done(busy.key)
        await cold
        assert gateway.live(pinned.key)
        assert not gateway.live(busy.key)


async def test_a_version_that_can_never_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    async with running(tmp_path, budget=BASE // 2) as yard:
        gateway = yard.gateway()
        (spec,) = specs(yard, tmp_path, 1)
        gateway.want(spec)
        failed = await gateway.failed(spec.key)
        assert "needs about 64 MiB" in failed.reason
        assert "may have 32 MiB (setting 'replica_memory_bytes')" in failed.reason


async def test_load_brings_replicas_and_every_gateway_hears_of_them(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        one, other = yard.gateway(), yard.gateway()
        (spec,) = specs(yard, tmp_path, 1, minimum=1, maximum=3, target_concurrency=2)
        for gateway in (one, other):
            gateway.want(spec)
            await gateway.prepared(spec.key)
        assert len(yard.scheduler.replicas) == 1
        one.say(Load(spec.key, in_flight=1, waiting=2))
        await until(lambda: len(one.live(spec.key)) == 2, "a second replica")
        other.say(Load(spec.key, in_flight=30))
        await until(lambda: len(other.live(spec.key)) == 3, "a third replica")
        await until(lambda: len(one.live(spec.key)) == 3, "a channel to it")
        await asyncio.sleep(0.5)
        assert len(yard.scheduler.replicas) == 3


async def test_an_idle_version_without_a_minimum_has_no_replica(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        (spec,) = specs(yard, tmp_path, 1, minimum=0, idle_seconds=0.5)
        gateway.want(spec)
        # It is loaded once: nothing else tells that it can be.
        await gateway.prepared(spec.key)
        await until(lambda: not yard.scheduler.replicas, "it is unloaded")
        for _ in range(2):
            await answers(gateway, spec, 1)
            assert yard.scheduler.replicas
            await until(lambda: not yard.scheduler.replicas, "it is unloaded")


async def test_replicas_wait_for_gateways_that_come_back(tmp_path: Path) -> None:
    async with running(tmp_path) as yard:
        (spec,) = specs(yard, tmp_path, 1)
        first = yard.gateway()
        first.want(spec)
        await first.prepared(spec.key)
        (replica_id,) = yard.scheduler.replicas
        first.close()
        second = yard.gateway()
        second.want(spec)
        await until(lambda: second.live(spec.key) == [replica_id], "the same replica")


async def test_a_gateway_that_does_not_let_go_is_given_a_grace(tmp_path: Path) -> None:
    async with running(tmp_path, grace=0.5) as yard:
        gateway = yard.gateway()
        gateway.drains = False
        (spec,) = specs(yard, tmp_path, 1)
        gateway.want(spec)
        await gateway.prepared(spec.key)
        await answers(gateway, spec, 1)
        gateway.say(Unwant(spec.key))
        await until(lambda: not yard.scheduler.sets, "it is not wanted any more")
        answer, _ = await gateway.channels[gateway.live(spec.key)[0]].ask(rows(1, 2))
        assert isinstance(answer, Answer)
        await until(lambda: not yard.scheduler.replicas, "it is ended")


async def test_nothing_is_left_of_versions_that_come_and_go(tmp_path: Path) -> None:
    me = psutil.Process()
    # Servers that other tests have started for the whole session.
    others = set(me.children())
    async with running(tmp_path) as yard:
        gateway = yard.gateway()
        wanted = specs(yard, tmp_path, 2)

        async def cycle() -> None:
            for factor, spec in enumerate(wanted, 1):
                gateway.want(spec)
                await answers(gateway, spec, factor)
                gateway.say(Unwant(spec.key))
            await until(lambda: not yard.scheduler.replicas, "all are unloaded")
            gateway.heard.clear()
            gateway.of.clear()

        await cycle()
        gc.collect()
        descriptors, threads = me.num_fds(), threading.active_count()
        for _ in range(3):
            await cycle()
        gc.collect()
        assert me.num_fds() <= descriptors
        # The pool for files and processes, and the watchdog, may not have been at their height.
        assert threading.active_count() <= max(threads, 8)
        assert not set(me.children()) - others
        assert not any((tmp_path / "replicas").iterdir())
