"""A queue before replicas that come, go, die and misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from modelyard.core.errors import (
    DeadlineExceeded,
    ModelFailed,
    Poisonous,
    ReplicaDied,
    Unavailable,
)
from modelyard.core.tensors import Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.batcher import Batcher
from modelyard.serving.metrics import Metrics
from modelyard.serving.options import ServingOptions
from modelyard.serving.replica import remote_model as module
from modelyard.serving.replica import suspects
from modelyard.serving.replica.channel import Terms
from modelyard.serving.replica.remote import RemoteRuntime
from modelyard.serving.slots import Series
from tests.replicas import Actors

pytestmark = pytest.mark.asyncio
LONG = 60.0
SIGNATURE = Signature(
    (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1, 2)),)
)


class Host:
    """The runtime host, with replicas that act as they are told."""

    def __init__(self, actors: Actors, behaviour: str, *, at_once: bool) -> None:
        self.actors, self.behaviour, self.at_once = actors, behaviour, at_once
        self.asked = 0
        self.loads: list[tuple[int, int, int]] = []
        self.released_: list[tuple[str, str]] = []
        self.accused: list[tuple[bytes, ...]] = []
        self.cleared: list[tuple[bytes, ...]] = []
        self.unwanted = False
        self.runtime: RemoteRuntime
        self.started = 0

    def connect(self) -> None:
        self.asked += 1
        if self.at_once:
            asyncio.get_running_loop().call_soon(self.give)

    def give(self) -> str:
        name = f"rep_{self.started}"
        self.started += 1
        self.runtime.connected(name, self.actors.start(self.behaviour))
        return name

    def load(self, in_flight: int, waiting: int, answered: int) -> None:
        self.loads.append((in_flight, waiting, answered))

    def released(self, replica_id: str, wrong: str) -> None:
        self.released_.append((replica_id, wrong))

    def accuse(self, digests: tuple[bytes, ...]) -> None:
        self.accused.append(digests)

    def clear(self, digests: tuple[bytes, ...]) -> None:
        self.cleared.append(digests)

    def unwant(self) -> None:
        self.unwanted = True


class Room:
    """Runtimes with their queues."""

    def __init__(self, actors: Actors, folder: Path) -> None:
        self.actors = actors
        self.metrics = Metrics(folder, "gwy_1").route(Series("t", "d", "m", 1))
        self.runtimes: list[RemoteRuntime] = []

    def open(
        self,
        behaviour: str = "honest",
        *,
        at_once: bool = True,
        rowwise: bool = True,
        **options: Any,
    ) -> tuple[Batcher, Host]:
        host = Host(self.actors, behaviour, at_once=at_once)
        terms = Terms(SIGNATURE, rowwise=rowwise, patience=5.0, max_answer=1 << 20)
        host.runtime = RemoteRuntime(terms, host)
        self.runtimes.append(host.runtime)
        return Batcher(host.runtime, ServingOptions(**options), self.metrics), host


@pytest_asyncio.fixture
async def room(actors: Actors, tmp_path: Path) -> AsyncIterator[Room]:
    made = Room(actors, tmp_path)
    yield made
    for runtime in made.runtimes:
        runtime.close()


def x(*values: float) -> dict[str, Tensor]:
    return {"x": np.array([values], np.float32)}


async def ask(batcher: Batcher, *values: float, seconds: float = LONG) -> list[list[float]]:
    answer = await asyncio.wait_for(batcher.submit(x(*values), 1, seconds), 20)
    return answer["y"].tolist()  # type: ignore[no-any-return]


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.002)


async def test_a_cold_model_holds_its_requests_until_there_is_a_replica(room: Room) -> None:
    batcher, host = room.open(at_once=False)
    waiting = [batcher.submit(x(n, 0), 1, LONG) for n in range(5)]
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in waiting)
    assert host.asked == 1
    host.give()
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert [a["y"].tolist() for a in answers] == [[[2 * n, 0]] for n in range(5)]


async def test_what_a_cold_model_holds_is_bounded_in_number_and_time(room: Room) -> None:
    batcher, host = room.open(at_once=False, max_queue=3)
    waiting = [batcher.submit(x(n, 0), 1, 0.05) for n in range(3)]
    with pytest.raises(Unavailable):
        batcher.submit(x(9, 0), 1, LONG)
    for each in waiting:
        with pytest.raises(DeadlineExceeded):
            await each
    assert host.asked == 1


async def test_a_refusal_is_told_to_all_that_wait_and_for_a_while_to_all_that_come(
    room: Room,
) -> None:
    batcher, host = room.open(at_once=False)
    waiting = [batcher.submit(x(n, 0), 1, LONG) for n in range(3)]
    host.runtime.refused("it needs 9 GiB, the host has 1 GiB", 0.2)
    for each in waiting:
        with pytest.raises(Unavailable, match="9 GiB") as refused:
            await each
        assert refused.value.retry_after == 1
    with pytest.raises(Unavailable, match="9 GiB"):
        batcher.submit(x(1, 0), 1, LONG)
    await asyncio.sleep(0.25)
    host.at_once = True
    assert await ask(batcher, 1, 0) == [[2, 0]]
    assert host.asked == 2


async def test_several_replicas_work_at_the_same_time(room: Room) -> None:
    batcher, host = room.open("slow", rowwise=False)
    await ask(batcher, 0, 0)
    host.give()
    host.give()
    asked = [asyncio.ensure_future(ask(batcher, 0.2, 0)) for _ in range(4)]
    await until(lambda: (batcher.running, len(batcher)) == (3, 1))
    await asyncio.gather(*asked)


async def test_calls_go_to_the_replica_that_has_rested_longest(room: Room) -> None:
    batcher, host = room.open()
    await ask(batcher, 0, 0)
    second = host.give()
    for n in range(4):
        await ask(batcher, n, 0)
    host.runtime.drain("rep_0")
    host.runtime.drain(second)
    assert [name for name, _ in host.released_] == ["rep_0", second]


async def test_whoever_drains_answers_first_and_the_next_call_goes_elsewhere(room: Room) -> None:
    batcher, host = room.open("slow", max_batch_size=1)
    await ask(batcher, 0, 0)
    running = asyncio.ensure_future(ask(batcher, 0.3, 0))
    await until(lambda: batcher.running == 1)
    host.runtime.drain("rep_0")
    after = asyncio.ensure_future(ask(batcher, 0.01, 0))
    await asyncio.sleep(0.05)
    assert host.released_ == []
    assert await running == [[pytest.approx(0.3), 0]]
    assert await after == [[pytest.approx(0.01), 0]]
    assert host.released_ == [("rep_0", "")]
    assert host.started == 2


async def test_the_death_of_one_fails_what_it_has_and_nothing_else(room: Room) -> None:
    batcher, host = room.open("slow", max_batch_size=1)
    await ask(batcher, 0, 0)
    host.give()
    first = asyncio.ensure_future(ask(batcher, 0.41, 0))
    second = asyncio.ensure_future(ask(batcher, 0.42, 0))
    third = asyncio.ensure_future(ask(batcher, 0.01, 0))
    await until(lambda: batcher.running == 2)
    room.actors.processes[0].kill()
    outcomes = await asyncio.gather(first, second, third, return_exceptions=True)
    died = [outcome for outcome in outcomes if isinstance(outcome, ReplicaDied)]
    assert len(died) == 1
    assert died[0].retry_after >= 1
    assert not isinstance(outcomes[2], BaseException)


async def test_what_was_not_begun_goes_to_another_replica(room: Room) -> None:
    batcher, host = room.open()
    await ask(batcher, 0, 0)
    room.actors.processes[0].kill()
    room.actors.processes[0].wait()
    assert await ask(batcher, 1, 1) == [[2, 2]]
    assert host.started == 2


async def test_a_request_that_killed_two_replicas_is_refused_and_its_neighbours_are_not(
    room: Room,
) -> None:
    batcher, host = room.open("deadly")
    await ask(batcher, 0, 0)
    together = [batcher.submit(x(n, 0), 1, LONG) for n in (1, 2, 666, 3)]
    outcomes = await asyncio.gather(*together, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ReplicaDied] * 4
    # From here on each by itself: the innocent are answered.
    again = [batcher.submit(x(n, 0), 1, LONG) for n in (1, 2, 666, 3)]
    outcomes = await asyncio.gather(*again, return_exceptions=True)
    assert [isinstance(outcome, ReplicaDied) for outcome in outcomes] == [
        False, False, True, False,
    ]  # fmt: skip
    started = host.started
    for _ in range(3):
        with pytest.raises(Poisonous, match="died 2 times"):
            batcher.submit(x(666, 0), 1, LONG)
        assert await ask(batcher, 1, 0) == [[2, 0]]
    assert host.started - started <= 1


async def test_what_one_gateway_knows_of_a_request_the_others_know(room: Room) -> None:
    batcher, host = room.open("deadly")
    other, others = room.open("deadly")
    for _ in range(2):
        with pytest.raises(ReplicaDied):
            await ask(batcher, 666, 1)
        others.runtime.accused(host.accused[-1])
    with pytest.raises(Poisonous):
        other.submit(x(666, 1), 1, LONG)
    # The innocent are cleared everywhere.
    others.runtime.accused(host.runtime._suspects.died([x(1, 0)]))
    assert await ask(batcher, 1, 0) == [[2, 0]]
    others.runtime.cleared(host.cleared[-1])
    assert other._runner.admit(x(1, 0)) is None


async def test_suspects_are_forgotten_in_time_and_number() -> None:
    now = 0.0
    remembered = suspects.Suspects(lambda: now)
    remembered.died([x(n, 0) for n in range(suspects.MOST + 10)])
    assert len(remembered) == suspects.MOST
    assert not remembered.admit(x(0, 0))
    assert remembered.admit(x(suspects.MOST, 0))
    now = suspects.SECONDS + 1
    assert not remembered.admit(x(suspects.MOST, 0))


async def test_a_wrong_answer_to_a_batch_is_put_to_each_by_itself(room: Room) -> None:
    batcher, _ = room.open("wrong_rows")
    waiting = [batcher.submit(x(n, 0), 1, LONG) for n in range(4)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ModelFailed] * 4


async def test_one_that_breaks_the_protocol_is_reported_with_its_reason(room: Room) -> None:
    batcher, host = room.open("garbage")
    with pytest.raises(ReplicaDied):
        await ask(batcher, 1, 0)
    ((name, wrong),) = host.released_
    assert name == "rep_0"
    assert "a frame of" in wrong


async def test_a_deadline_is_kept_whatever_the_replica_does(room: Room) -> None:
    batcher, _ = room.open("silent")
    with pytest.raises(DeadlineExceeded):
        await ask(batcher, 1, 0, seconds=0.3)


async def test_the_load_is_told_while_there_is_any_and_then_its_end(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT", 0.02)
    batcher, host = room.open("slow", max_batch_size=1)
    await asyncio.gather(*(ask(batcher, 0.1, 0) for _ in range(3)))
    await until(lambda: host.loads[-1] == (0, 0, 0))
    told = len(host.loads)
    assert (1, 2, 0) in host.loads
    assert sum(answered for _, _, answered in host.loads) == 3
    await asyncio.sleep(0.1)
    assert len(host.loads) == told


async def test_whoever_is_retired_answers_what_it_has_and_lets_go(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT", 0.02)
    batcher, host = room.open("slow", max_batch_size=1)
    await ask(batcher, 0, 0)
    waiting = [asyncio.ensure_future(ask(batcher, 0.1, 0)) for _ in range(2)]
    await asyncio.sleep(0)
    host.runtime.retire()
    await asyncio.gather(*waiting)
    await until(lambda: host.unwanted)
    assert host.released_ == [("rep_0", "")]


async def test_when_the_host_is_gone_what_waits_is_asked_for_anew(room: Room) -> None:
    batcher, host = room.open(at_once=False)
    waiting = batcher.submit(x(1, 0), 1, LONG)
    assert host.asked == 1
    host.at_once = True
    host.runtime.forget()
    assert (await waiting)["y"].tolist() == [[2, 0]]
    assert host.asked == 2
