"""What stays in the gateway, what goes to the engine, and what a version's users share."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import msgspec
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.profile import Profile
from modelyard.core.trust import Trust
from modelyard.serving.local import LocalLoader
from modelyard.serving.options import ReplicaOptions, ServingOptions
from modelyard.serving.placement import PlacingLoader
from modelyard.serving.ports import Loaded, RouteKey, Runtime, WantedArtifact, WantedRoute
from tests.dataplane import MemoryBlobs, load, picker, wanted

BUDGET = 10_000


class Engine:
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.given: list[RouteKey] = []
        self.released: list[RouteKey] = []

    def load(self, wanted: WantedRoute) -> Future[Loaded]:
        self.given.append(wanted.key)
        future: Future[Loaded] = Future()
        future.set_result(load(picker())[1])
        return future

    def release(self, key: RouteKey) -> None:
        self.released.append(key)

    def close(self) -> None:
        pass


class Loads:
    """Loads at once, but waits for `gate` where that is closed."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def __call__(self, wanted: WantedRoute) -> Runtime:
        self.loaded.append(wanted.version_id)
        assert self.gate.wait(10)
        if self.fails:
            raise Invalid("it does not load")
        runtime = load(picker())[1]
        runtime.memory_bytes = 0  # type: ignore[attr-defined] # What it took is not exact.
        return runtime


class Room:
    """A placing loader with its surroundings."""

    def __init__(self) -> None:
        self.loads, self.engine = Loads(), Engine()
        self.local = LocalLoader(self.loads)
        self.upstreams = Engine()
        self.placing = PlacingLoader(self.local, self.engine, self.upstreams, BUDGET)


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.loads.gate.set()
    made.placing.close()


def version(
    number: int, memory: int = 1000, *, deployment: str = "dep_1", trust: Trust = Trust.INLINE,
    options: ServingOptions | None = None,
) -> WantedRoute:  # fmt: skip
    route = wanted(picker(), MemoryBlobs().add(b"x"), version=number, options=options)
    return msgspec.structs.replace(
        route, deployment_id=deployment, trust=trust, profile=Profile(memory, 0.001, 0.0)
    )


def test_what_is_data_and_fits_is_loaded_here(room: Room) -> None:
    room.placing.load(version(1)).result(10)
    assert room.loads.loaded == ["ver_picker_1"]
    assert room.engine.given == []


def test_what_runs_elsewhere_is_loaded_nowhere_here(room: Room) -> None:
    artifact = WantedArtifact("model", "upstreams.json", "upstream", "0" * 64, 90)
    elsewhere = msgspec.structs.replace(version(1), artifacts=(artifact,))
    room.placing.load(elsewhere).result(10)
    assert (room.upstreams.given, room.engine.given, room.loads.loaded) == ([elsewhere.key], [], [])
    room.placing.release(elsewhere.key)
    assert room.upstreams.released == [elsewhere.key]


@pytest.mark.parametrize(
    "route",
    [
        version(1, trust=Trust.DATA),
        version(1, trust=Trust.CODE),
        version(1, BUDGET + 1),
        version(1, options=ServingOptions(replicas=ReplicaOptions())),
    ],
)
def test_all_else_goes_to_the_engine(room: Room, route: WantedRoute) -> None:
    room.placing.load(route).result(10)
    assert room.loads.loaded == []
    assert room.engine.given == [route.key]


def test_the_budget_is_for_all_versions_together_and_comes_back(room: Room) -> None:
    for number in (1, 2, 3):
        room.placing.load(version(number, 4000)).result(10)
    assert room.engine.given == [version(3).key]
    # A version that is here does not count twice.
    room.placing.load(version(1, 4000, deployment="dep_2")).result(10)
    room.placing.release(version(1).key)
    room.placing.load(version(4, 4000)).result(10)
    assert room.engine.given == [version(3).key, version(4).key]
    room.placing.release(version(1, deployment="dep_2").key)
    room.placing.load(version(5, 4000)).result(10)
    assert room.loads.loaded == ["ver_picker_1", "ver_picker_2", "ver_picker_5"]


def test_a_version_moves_when_its_options_say_so_and_leaves_nothing_behind(room: Room) -> None:
    room.placing.load(version(1)).result(10)
    moved = version(1, options=ServingOptions(replicas=ReplicaOptions(max=3)))
    room.placing.load(moved).result(10)
    assert room.engine.given == [moved.key]
    assert room.local.memory_bytes == 0
    room.placing.release(moved.key)
    assert room.engine.released == [moved.key]


def test_deployments_share_a_version_until_the_last_has_gone(room: Room) -> None:
    first, second = version(1), version(1, deployment="dep_2")
    one, other = room.placing.load(first), room.placing.load(second)
    assert one.result(10) is other.result(10)
    room.placing.release(first.key)
    assert room.placing.load(first).result(10) is one.result(10)
    room.placing.release(first.key)
    room.placing.release(second.key)
    assert room.local.memory_bytes == 0
    assert room.loads.loaded == ["ver_picker_1"]


def test_what_is_released_before_its_turn_is_not_loaded(room: Room) -> None:
    room.loads.gate.clear()
    first, second = room.placing.load(version(1)), room.placing.load(version(2))
    room.placing.release(version(2).key)
    room.loads.gate.set()
    first.result(10)
    assert second.cancelled()
    room.placing.load(version(3)).result(10)
    assert room.loads.loaded == ["ver_picker_1", "ver_picker_3"]


def test_what_failed_is_loaded_again_when_it_is_asked_for_again(room: Room) -> None:
    room.loads.fails = True
    with pytest.raises(Invalid):
        room.placing.load(version(1)).result(10)
    assert room.local.memory_bytes == 0
    room.loads.fails = False
    room.placing.load(version(1)).result(10)
    assert room.loads.loaded == ["ver_picker_1"] * 2
