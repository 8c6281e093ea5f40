"""The follower: keys at once, models when they are ready, and the old ones until then."""

import gc
import hashlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from modelyard.core.access import Grant, Scope
from modelyard.core.clock import SystemClock
from modelyard.core.errors import NotFound, Unavailable
from modelyard.core.tensors import Datatype
from modelyard.serving import follower as module
from modelyard.serving.follower import Follower
from modelyard.serving.local import LocalLoader
from modelyard.serving.metrics import Metrics
from modelyard.serving.ports import (
    KeyEntry,
    ReplicaOutcome,
    Runtime,
    Wanted,
    WantedName,
    WantedRoute,
)
from modelyard.serving.runtimes.onnx import OnnxLoader
from modelyard.serving.snapshot import Route, Snapshot
from tests.dataplane import TENANT, MemoryBlobs, echo, picker, wait_until, wanted

NOW = SystemClock().now()
KEY = KeyEntry(hashlib.sha256(b"k").digest(), Grant("key_1", TENANT, Scope.INFER), None)
MODEL = picker()


class Control:
    """A control plane that can go away."""

    def __init__(self) -> None:
        self.state = Wanted(0, [], [])
        self.away = False
        self.reports: list[Sequence[ReplicaOutcome]] = []
        self.left: list[str] = []

    def want(
        self,
        keys: Sequence[KeyEntry],
        *routes: WantedRoute,
        names: Sequence[WantedName] = (),
    ) -> None:
        self.state = Wanted(self.state.revision + 1, keys, routes, names)

    def revision(self) -> int:
        self._reach()
        return self.state.revision

    def wanted(self) -> Wanted:
        self._reach()
        return self.state

    def report(self, gateway_id: str, now: datetime, outcomes: Sequence[ReplicaOutcome]) -> None:
        self._reach()
        self.reports.append(outcomes)

    def leave(self, gateway_id: str) -> None:
        self._reach()
        self.left.append(gateway_id)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("the database is away")


class Gate:
    """Loads real graphs, but waits at the gate for the versions that are told to."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.loaded: list[str] = []
        self.held: dict[str, threading.Event] = {}
        self._loader = OnnxLoader(self.blobs)  # type: ignore[arg-type]

    def load(self, route: WantedRoute) -> Runtime:
        self.loaded.append(route.version_id)
        if route.version_id in self.held:
            self.held[route.version_id].wait(30)
        return self._loader.load(route)


class Harness:
    """A follower with its surroundings."""

    def __init__(self, folder: Path) -> None:
        self.control, self.gate = Control(), Gate()
        self.digest = self.gate.blobs.add(MODEL.graph)
        self.snapshot = Snapshot()
        self.metrics = Metrics(folder, "gwy_1")
        # A test puts another in place of the gate's own.
        self.local = LocalLoader(lambda route: self.gate.load(route))  # noqa: PLW0108
        self.follower = Follower(
            "gwy_1", self.control, self.local, self.metrics, SystemClock(), self._publish,
            inline_seconds=0.002,
        )  # fmt: skip

    def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def version(self, number: int, digest: str | None = None) -> WantedRoute:
        return wanted(MODEL, digest or self.digest, version=number)

    def serving(self) -> int | None:
        route = self.snapshot.routes.get((TENANT, MODEL.name))
        return None if route is None else route.wanted.version

    def knows(self, entry: KeyEntry) -> bool:
        return self.snapshot.keys.get(entry.hash) == entry


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    made = Harness(tmp_path)
    made.follower.start()
    yield made
    for gate in made.gate.held.values():
        gate.set()
    made.follower.stop()
    made.local.close()


def took(true: Callable[[], bool]) -> float:
    start = time.monotonic()
    wait_until(true)
    return time.monotonic() - start


def test_a_key_is_in_force_and_out_of_it_within_a_second_while_a_model_loads(
    harness: Harness,
) -> None:
    harness.gate.held["ver_picker_1"] = threading.Event()
    harness.control.want([], harness.version(1))
    wait_until(lambda: harness.gate.loaded == ["ver_picker_1"])
    harness.control.want([KEY], harness.version(1))
    assert took(lambda: harness.knows(KEY)) < 1
    harness.control.want([], harness.version(1))
    assert took(lambda: not harness.knows(KEY)) < 1
    assert harness.serving() is None
    with pytest.raises(Unavailable, match="loading"):
        harness.snapshot.route(TENANT, MODEL.name)


def test_the_old_version_serves_while_the_new_one_loads(harness: Harness) -> None:
    harness.control.want([KEY], harness.version(1))
    wait_until(lambda: harness.serving() == 1)
    harness.gate.held["ver_picker_2"] = threading.Event()
    harness.control.want([KEY], harness.version(2))
    wait_until(lambda: harness.gate.loaded[-1] == "ver_picker_2")
    time.sleep(3 * module.LOOK)
    assert harness.serving() == 1
    assert harness.control.reports[-1] == []
    harness.gate.held["ver_picker_2"].set()
    wait_until(lambda: harness.serving() == 2)
    ready = [ReplicaOutcome("dep_picker", "ver_picker_2", 1)]
    wait_until(lambda: harness.control.reports[-1] == ready)
    assert harness.gate.loaded == ["ver_picker_1", "ver_picker_2"]


def test_a_version_that_does_not_load_leaves_the_old_one_and_says_why(harness: Harness) -> None:
    harness.control.want([KEY], harness.version(1))
    wait_until(lambda: harness.serving() == 1)
    broken = harness.gate.blobs.add(b"no graph at all")
    harness.control.want([KEY], harness.version(2, broken))

    def failed() -> bool:
        [*_, last] = harness.control.reports
        return any(o.version_id == "ver_picker_2" and "does not load" in o.reason for o in last)

    wait_until(failed)
    assert harness.serving() == 1
    harness.control.want([KEY], harness.version(3))
    wait_until(lambda: harness.serving() == 3)


def test_why_the_options_before_failed_is_not_said_of_the_new_ones(harness: Harness) -> None:
    there, lost = harness.digest, "0" * 64
    harness.control.want([KEY], harness.version(1, lost))
    wait_until(lambda: harness.control.reports[-1] != [])
    assert "no blob" in harness.control.reports[-1][0].reason
    harness.gate.held["ver_picker_1"] = threading.Event()
    newer = msgspec.structs.replace(harness.version(1, there), generation=2)
    harness.control.want([KEY], newer)
    wait_until(lambda: len(harness.gate.loaded) == 2)
    wait_until(lambda: harness.control.reports[-1] == [])
    harness.gate.held["ver_picker_1"].set()
    ready = [ReplicaOutcome("dep_picker", "ver_picker_1", 2)]
    wait_until(lambda: harness.control.reports[-1] == ready)


def test_the_first_version_that_does_not_load_is_told_to_callers(harness: Harness) -> None:
    harness.control.want([KEY], harness.version(1, "0" * 64))
    wait_until(lambda: bool(harness.snapshot.failures))
    with pytest.raises(Unavailable, match="does not serve: there is no blob"):
        harness.snapshot.route(TENANT, MODEL.name)


def test_a_route_without_artifacts_fails_with_a_reason(harness: Harness) -> None:
    bare = WantedRoute("dep_picker", TENANT, MODEL.name, "m", 4, "ver_4", MODEL.signature, ())
    harness.control.want([KEY], bare)
    wait_until(lambda: bool(harness.snapshot.failures))
    with pytest.raises(Unavailable, match="version 4 of model 'm' has no data-only form"):
        harness.snapshot.route(TENANT, MODEL.name)


def test_a_failed_load_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", 0.3)
    harness = Harness(tmp_path)
    digest = hashlib.sha256(echo(Datatype.INT64).graph).hexdigest()
    harness.control.want([KEY], harness.version(1, digest))
    harness.follower.start()
    try:
        wait_until(lambda: bool(harness.snapshot.failures))
        harness.gate.blobs.held[digest] = MODEL.graph
        wait_until(lambda: harness.serving() == 1)
        assert harness.snapshot.failures == {}
    finally:
        harness.follower.stop()


def test_while_the_control_plane_is_away_the_last_snapshot_serves(harness: Harness) -> None:
    harness.control.want([KEY], harness.version(1))
    wait_until(lambda: harness.serving() == 1)
    harness.control.away = True
    harness.control.want([], harness.version(2))
    time.sleep(3 * module.LOOK)
    assert harness.serving() == 1
    assert harness.knows(KEY)
    harness.control.away = False
    wait_until(lambda: harness.serving() == 2)
    assert not harness.knows(KEY)


def test_a_deployment_that_is_gone_is_gone_and_its_memory_too(harness: Harness) -> None:
    harness.control.want([KEY], harness.version(1))
    wait_until(lambda: harness.serving() == 1)
    runtime = weakref.ref(harness.snapshot.routes[TENANT, MODEL.name].runtime)
    harness.control.want([KEY], harness.version(2))
    wait_until(lambda: harness.serving() == 2)
    gc.collect()
    assert runtime() is None
    runtime = weakref.ref(harness.snapshot.routes[TENANT, MODEL.name].runtime)
    harness.control.want([KEY])
    wait_until(lambda: harness.serving() is None)
    gc.collect()
    assert runtime() is None
    with pytest.raises(NotFound):
        harness.snapshot.route(TENANT, MODEL.name)


def test_a_version_that_nobody_wants_any_more_is_not_loaded(harness: Harness) -> None:
    harness.gate.held["ver_picker_1"] = threading.Event()
    harness.control.want([KEY], harness.version(1))
    wait_until(lambda: harness.gate.loaded == ["ver_picker_1"])
    for number in range(2, 6):
        harness.control.want([KEY], harness.version(number))
        time.sleep(2 * module.LOOK)
    harness.gate.held["ver_picker_1"].set()
    wait_until(lambda: harness.serving() == 5)
    assert harness.gate.loaded == ["ver_picker_1", "ver_picker_5"]


def test_two_deployments_of_one_version_share_its_runtime(harness: Harness) -> None:
    one = harness.version(1)
    two = WantedRoute("dep_2", TENANT, "two", one.model, 1, one.version_id, one.signature,
                      one.artifacts)  # fmt: skip
    harness.control.want([KEY], one, two)
    wait_until(lambda: len(harness.snapshot.routes) == 2)
    first, second = harness.snapshot.routes.values()
    assert first.runtime is second.runtime
    assert harness.gate.loaded == ["ver_picker_1"]


def test_it_reports_that_it_lives_and_takes_its_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT", 0.1)
    harness = Harness(tmp_path)
    harness.follower.start()
    wait_until(lambda: len(harness.control.reports) > 2)
    harness.follower.stop()
    assert harness.control.left == ["gwy_1"]


@pytest.mark.parametrize(
    ("call_seconds", "row_seconds", "rows"),
    [(0.0001, 0.001, 1), (0.0, 0.00001, 200), (0.0019, 0.0002, 0), (0.5, 0.5, 0)],
)
def test_only_as_many_rows_as_are_cheap_stay_on_the_event_loop(
    harness: Harness, call_seconds: float, row_seconds: float, rows: int
) -> None:
    loaded = harness.gate.load

    def load(route: WantedRoute) -> Runtime:
        runtime = loaded(route)
        runtime.call_seconds, runtime.row_seconds = call_seconds, row_seconds
        return runtime

    harness.gate.load = load  # type: ignore[method-assign]
    harness.control.want([KEY], harness.version(1))
    wait_until(lambda: harness.serving() == 1)
    route: Route = harness.snapshot.routes[TENANT, MODEL.name]
    assert abs(route.inline_rows - rows) <= 1


def test_a_subscription_is_a_second_name_of_the_same_route(harness: Harness) -> None:
    route, here, there = harness.version(1), (TENANT, MODEL.name), ("tnt_9", "local")
    names = [
        WantedName("tnt_9", "local", route.deployment_id),
        WantedName("tnt_9", "gone", "dep_none"),
        WantedName(TENANT, MODEL.name, "dep_none"),
    ]
    harness.control.want([KEY], route, names=names)
    wait_until(lambda: here in harness.snapshot.routes)
    assert harness.snapshot.routes[there] is harness.snapshot.routes[here]
    assert set(harness.snapshot.routes) == {here, there}
    harness.control.want([KEY], route)
    wait_until(lambda: there not in harness.snapshot.routes)
    assert here in harness.snapshot.routes


def test_a_subscriber_is_not_told_why_its_publishers_model_fails(harness: Harness) -> None:
    broken = harness.version(1, "0" * 64)
    harness.control.want([KEY], broken, names=[WantedName("tnt_9", "local", broken.deployment_id)])
    wait_until(lambda: ("tnt_9", "local") in harness.snapshot.failures)
    assert harness.snapshot.failures["tnt_9", "local"] == "its publisher's deployment has failed"
    assert harness.snapshot.failures[TENANT, MODEL.name] != "its publisher's deployment has failed"


def test_what_a_tenant_has_deployed_goes_before_what_it_has_taken(harness: Harness) -> None:
    mine, theirs = (
        harness.version(1),
        msgspec.structs.replace(
            harness.version(1), tenant_id="tnt_9", deployment_id="dep_theirs", name="theirs"
        ),
    )
    name = WantedName(TENANT, MODEL.name, "dep_theirs")
    harness.control.want([KEY], mine, theirs, names=[name])
    wait_until(lambda: len(harness.snapshot.routes) == 2)
    assert harness.snapshot.routes[TENANT, MODEL.name].wanted == mine
