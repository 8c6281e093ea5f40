"""A gateway's connection to a runtime host that is played here, with replicas that are real."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import pytest_asyncio

from modelyard.adapters.engine.host.address import listen
from modelyard.adapters.engine.host.connection import FrameConnection
from modelyard.adapters.engine.host.messages import (
    FROM_GATEWAY,
    Accuse,
    Clear,
    Connect,
    Connected,
    Drain,
    Failed,
    Hello,
    Load,
    Misbehaved,
    Offer,
    Prepared,
    Refused,
    Released,
    ReplicaKey,
    Unwant,
    Want,
)
from modelyard.adapters.engine.host_client import HostClient, spec_of
from modelyard.core.errors import Poisonous, ReplicaDied, Unavailable
from modelyard.core.profile import Profile
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.core.trust import Trust
from modelyard.serving.batcher import Batcher
from modelyard.serving.metrics import Metrics
from modelyard.serving.options import ReplicaOptions, ServingOptions
from modelyard.serving.ports import WantedArtifact, WantedRoute
from modelyard.serving.replica.remote import RemoteRuntime
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.slots import Series
from tests.replicas import Actors

pytestmark = pytest.mark.asyncio
SIGNATURE = Signature(
    (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("y", Datatype.FP32, (-1, 2)),)
)
PROFILE = Profile(1 << 20, 0.001, 0.0001, stackable=True)
ROUTE = WantedRoute(
    "dep_1", "tnt_1", "churn", "churn", 3, "ver_3", SIGNATURE,
    (WantedArtifact("model", "m.xgb", "xgboost", "d" * 64, 100),),
    ServingOptions(replicas=ReplicaOptions(min=0, max=3), pinned=True), Trust.DATA,
)  # fmt: skip
KEY = ReplicaKey("dep_1", "ver_3")
M = TypeVar("M")


class Host:
    """Hears what gateways say, and says what it is told to."""

    def __init__(self, folder: Path, actors: Actors) -> None:
        self.actors = actors
        self.folder = folder
        self.heard: list[Any] = []
        self.replicas = 0
        self.connection: FrameConnection[Any] | None = None

    async def run(self) -> None:
        self.listener = listen(self.folder)
        sock, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        self.connection = FrameConnection(
            sock, FROM_GATEWAY, lambda message, _: self.heard.append(message), lambda _: None
        )

    def say(self, message: msgspec.Struct, sock: socket.socket | None = None) -> None:
        assert self.connection is not None
        self.connection.send(message, None if sock is None else sock.detach())

    def give(self, request: int | None = None, behaviour: str = "honest") -> str:
        """A channel to a new replica."""
        self.replicas += 1
        name = f"rep_{self.replicas}"
        message = Offer(KEY, name) if request is None else Connected(request, KEY, name)
        self.say(message, self.actors.start(behaviour))
        return name

    async def hear(self, kind: type[M], count: int = 1) -> M:
        """The newest message of a kind, once there are so many of them."""
        await until(lambda: sum(isinstance(each, kind) for each in self.heard) >= count)
        return [each for each in self.heard if isinstance(each, kind)][count - 1]

    def close(self) -> None:
        self.listener.close()
        if self.connection is not None:
            self.connection.close()


class Room:
    """A client, its host, and batchers."""

    def __init__(self, folder: Path, actors: Actors) -> None:
        self.host = Host(folder / "run", actors)
        self.client = HostClient(folder / "run", "gwy_1", max_answer=1 << 20)
        self.metrics = Metrics(folder, "gwy_1").route(Series("t", "d", "m", 1))

    async def loaded(self) -> tuple[Batcher, RemoteRuntime]:
        """The route's queue, with no replica yet."""
        future = self.client.load(ROUTE)
        await self.host.hear(Want)
        self.host.say(Prepared(KEY, PROFILE))
        runtime = await asyncio.wait_for(asyncio.wrap_future(future), 10)
        assert isinstance(runtime, RemoteRuntime)
        return Batcher(runtime, ROUTE.options, self.metrics), runtime


@pytest_asyncio.fixture
async def room(tmp_path: Path, actors: Actors) -> AsyncIterator[Room]:
    made = Room(tmp_path, actors)
    accepting = asyncio.create_task(made.host.run())
    await asyncio.sleep(0)
    made.client.start()
    await asyncio.wait_for(accepting, 10)
    yield made
    made.client.close()
    made.host.close()


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.002)


def submit(batcher: Batcher, *values: float) -> asyncio.Future[dict[str, Any]]:
    return batcher.submit({"x": np.array([values], np.float32)}, 1, 20.0)


async def test_a_version_is_wanted_prepared_connected_and_asked(room: Room) -> None:
    batcher, _ = await room.loaded()
    assert room.host.heard[0] == Hello("gwy_1")
    spec = (await room.host.hear(Want)).spec
    assert spec == spec_of(ROUTE)
    assert (spec.options.minimum, spec.options.maximum, spec.options.pinned) == (0, 3, True)
    answer = submit(batcher, 1, 2)
    room.host.give((await room.host.hear(Connect)).request)
    assert (await answer)["y"].tolist() == [[2, 4]]
    load = await room.host.hear(Load)
    assert load.key == KEY


async def test_a_version_that_does_not_load_fails_with_the_hosts_reason(room: Room) -> None:
    future = room.client.load(ROUTE)
    await room.host.hear(Want)
    room.host.say(Failed(KEY, "it is no model", 30.0))
    with pytest.raises(CannotLoad, match="it is no model"):
        await asyncio.wrap_future(future)
    room.client.release(ROUTE.key)
    assert (await room.host.hear(Unwant)).key == KEY


async def test_a_crash_loop_is_told_and_forgiven(room: Room) -> None:
    batcher, runtime = await room.loaded()
    waits = submit(batcher, 1, 2)
    room.host.say(Failed(KEY, "it was killed by SIGSEGV", 30.0))
    with pytest.raises(Unavailable, match="SIGSEGV") as failed:
        await waits
    assert failed.value.retry_after == 30
    assert "SIGSEGV" in runtime.failure
    with pytest.raises(Unavailable, match="SIGSEGV"):
        submit(batcher, 1, 2)
    room.host.say(Prepared(KEY, PROFILE))
    await until(lambda: not runtime.failure)
    answer = submit(batcher, 1, 2)
    room.host.give((await room.host.hear(Connect, 2)).request)
    assert (await answer)["y"].tolist() == [[2, 4]]


async def test_a_refusal_reaches_those_who_wait(room: Room) -> None:
    batcher, _ = await room.loaded()
    waits = submit(batcher, 1, 2)
    request = (await room.host.hear(Connect)).request
    room.host.say(Refused(request, KEY, "it needs more than there is", 0.0))
    with pytest.raises(Unavailable, match="more than there is"):
        await waits


async def test_what_is_offered_is_used_and_what_is_drained_is_released(room: Room) -> None:
    batcher, _ = await room.loaded()
    first, second = room.host.give(), room.host.give()
    await until(lambda: len(room.client._replicas) == 2)
    for n in range(4):
        assert (await submit(batcher, n, 0))["y"].tolist() == [[2 * n, 0]]
    room.host.say(Drain(first))
    assert (await room.host.hear(Released)).replica_id == first
    room.host.say(Drain("rep_unknown"))
    assert (await room.host.hear(Released, 2)).replica_id == "rep_unknown"
    assert (await submit(batcher, 7, 0))["y"].tolist() == [[14, 0]]
    assert list(room.client._replicas) == [second]


async def test_who_misbehaves_is_reported(room: Room) -> None:
    batcher, _ = await room.loaded()
    name = room.host.give(behaviour="garbage")
    with pytest.raises(ReplicaDied):
        await submit(batcher, 1, 2)
    told = await room.host.hear(Misbehaved)
    assert told.replica_id == name
    assert (await room.host.hear(Released)).replica_id == name


async def test_what_a_replica_died_of_is_told_and_heard(room: Room) -> None:
    batcher, runtime = await room.loaded()
    room.host.give(behaviour="deadly")
    with pytest.raises(ReplicaDied):
        await submit(batcher, 666, 0)
    accused = await room.host.hear(Accuse)
    assert accused.key == KEY
    room.host.say(Accuse(KEY, accused.digests))
    room.host.give()
    await until(lambda: len(runtime._channels) == 1)
    with pytest.raises(Poisonous):
        submit(batcher, 666, 0)
    room.host.say(Clear(KEY, accused.digests))
    await until(lambda: not len(runtime._suspects))
    assert (await submit(batcher, 666, 0))["y"].tolist() == [[1332, 0]]


async def test_what_is_released_is_let_go_when_its_last_request_is_answered(room: Room) -> None:
    batcher, _ = await room.loaded()
    waits = submit(batcher, 1, 2)
    request = (await room.host.hear(Connect)).request
    room.client.release(ROUTE.key)
    await asyncio.sleep(0.3)
    assert not any(isinstance(each, Unwant) for each in room.host.heard)
    room.host.give(request)
    assert (await waits)["y"].tolist() == [[2, 4]]
    await room.host.hear(Unwant)
    # A channel that comes too late goes back.
    late = room.host.give()
    await until(lambda: Released(late) in room.host.heard)


async def test_wanted_again_in_time_it_stays_and_hears_of_its_new_options(room: Room) -> None:
    batcher, runtime = await room.loaded()
    room.client.release(ROUTE.key)
    changed = msgspec.structs.replace(ROUTE, options=ServingOptions())
    future = room.client.load(changed)
    want = await room.host.hear(Want, 2)
    assert not want.spec.options.pinned
    room.host.say(Prepared(KEY, PROFILE))
    assert await asyncio.wrap_future(future) is runtime
    answer = submit(batcher, 1, 2)
    room.host.give()
    await answer
    assert not any(isinstance(each, Unwant) for each in room.host.heard)


async def test_a_host_that_comes_back_hears_all_again(room: Room, tmp_path: Path) -> None:
    batcher, _ = await room.loaded()
    room.host.give()
    await submit(batcher, 1, 2)
    room.host.close()
    room.host.actors.stop()
    waits = submit(batcher, 3, 4)
    room.host = Host(room.host.folder, room.host.actors)
    await asyncio.wait_for(room.host.run(), 10)
    await room.host.hear(Want)
    room.host.say(Prepared(KEY, PROFILE))
    room.host.give((await room.host.hear(Connect)).request)
    assert (await asyncio.wait_for(waits, 10))["y"].tolist() == [[6, 8]]
