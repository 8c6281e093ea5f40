"""The reconciler and the deployments' use cases, on the store in memory."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from modelyard.adapters.memory import MemoryControlPlane, MemoryStore
from modelyard.core.clock import ManualClock
from modelyard.core.errors import Conflict, Invalid, NotFound
from modelyard.core.tensors import Datatype, Signature, TensorSpec
from modelyard.deployment.deployment import Deployment, DeploymentSpec, DeploymentState
from modelyard.deployment.reconciler import ALIVE, FORGOTTEN, Reconciler
from modelyard.deployment.service import DeploymentService
from modelyard.registry.artifact import Artifact, Format
from modelyard.registry.card import Card
from modelyard.registry.parity import Parity
from modelyard.registry.service import RegistryService
from modelyard.registry.version import Lineage, ModelVersion, NewVersion, VersionState
from modelyard.serving.options import ServingOptions
from modelyard.serving.ports import ReplicaOutcome

TENANT = "tnt_1"
SIGNATURE = Signature(
    (TensorSpec("x", Datatype.FP32, (-1,)),), (TensorSpec("y", Datatype.FP32, (-1,)),)
)
PENDING, READY, FAILED = DeploymentState.PENDING, DeploymentState.READY, DeploymentState.FAILED


class World:
    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), ManualClock()
        self.registry = RegistryService(self.store, self.clock)
        self.deployments = DeploymentService(self.store, self.clock)
        self.reconciler = Reconciler(self.store, self.clock)
        self.control = MemoryControlPlane(self.store, self.clock)

    def version(self, parity: Parity | None = None, kind: Format = Format.ONNX) -> ModelVersion:
        artifact = Artifact("model", kind, "0" * 64, 1)
        new = NewVersion(SIGNATURE, (artifact,), Lineage("training", "0"), Card("t", "a"), parity)
        return self.registry.register(TENANT, "churn", new)

    def put(self, model: str = "churn", name: str = "churn") -> Deployment:
        return self.deployments.put(TENANT, name, DeploymentSpec(model))[0]

    def say(self, gateway: str, *outcomes: ReplicaOutcome) -> None:
        self.control.report(gateway, self.clock.now(), outcomes)

    def serve(self, deployment: Deployment, version: ModelVersion, *gateways: str) -> None:
        for gateway in gateways:
            self.say(gateway, ReplicaOutcome(deployment.id, version.id, deployment.generation))

    def look(self, name: str = "churn") -> tuple[DeploymentState, str, int, int]:
        self.reconciler.reconcile()
        status = self.deployments.get(TENANT, name).status
        return status.state, status.reason, status.gateways_ready, status.gateways

    def served(self) -> Sequence[int]:
        return [route.version for route in self.control.wanted().routes]


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_ready_when_every_gateway_serves_it(world: World) -> None:
    version = world.version()
    deployment = world.put()
    assert world.look() == (PENDING, "0 of 0 gateways serve it", 0, 0)
    world.say("gwy_1")
    world.say("gwy_2")
    assert world.look() == (PENDING, "0 of 2 gateways serve it", 0, 2)
    world.serve(deployment, version, "gwy_1")
    assert world.look() == (PENDING, "1 of 2 gateways serve it", 1, 2)
    world.serve(deployment, version, "gwy_2")
    assert world.look() == (READY, "", 2, 2)
    assert world.deployments.get(TENANT, "churn").status.generation == 1


def test_gateways_that_come_are_waited_for_and_silent_ones_do_not_count(world: World) -> None:
    version = world.version()
    deployment = world.put()
    world.serve(deployment, version, "gwy_1", "gwy_2")
    assert world.look()[0] is READY
    world.say("gwy_3")
    assert world.look() == (PENDING, "2 of 3 gateways serve it", 2, 3)
    world.control.leave("gwy_3")
    assert world.look() == (READY, "", 2, 2)
    world.clock.advance(ALIVE.total_seconds())
    world.serve(deployment, version, "gwy_1")
    world.clock.advance(0.001)
    assert world.look() == (READY, "", 1, 1)
    world.clock.advance(FORGOTTEN.total_seconds())
    world.say("gwy_1")
    world.reconciler.forget_silent_gateways()
    with world.store.read() as tx:
        assert tx.board().gateways(world.clock.now() - timedelta(days=1)) == ["gwy_1"]


def test_a_moved_alias_moves_the_target_and_tells_the_gateways(world: World) -> None:
    one, two = world.version(), world.version()
    world.registry.set_alias(TENANT, "churn", "champion", one.number)
    deployment = world.put("churn@champion")
    world.serve(deployment, one, "gwy_1")
    assert world.look()[0] is READY
    world.registry.set_alias(TENANT, "churn", "champion", two.number)
    before = world.control.revision()
    assert world.look() == (PENDING, "0 of 1 gateways serve it", 0, 1)
    assert world.control.revision() > before
    assert world.served() == [2]
    world.serve(deployment, two, "gwy_1")
    assert world.look()[0] is READY
    world.registry.set_alias(TENANT, "churn", "champion", one.number)
    world.look()
    assert world.served() == [1]


def test_a_reference_without_a_version_follows_the_newest(world: World) -> None:
    world.version()
    world.put("churn")
    world.put("churn:1", "pinned")
    world.version()
    world.look()
    assert sorted(world.served()) == [1, 2]


def test_a_wish_that_breaks_leaves_what_serves(world: World) -> None:
    world.version()
    world.registry.set_alias(TENANT, "churn", "champion", 1)
    world.put("churn@champion")
    world.look()
    world.registry.drop_alias(TENANT, "churn", "champion")
    state, reason, _, _ = world.look()
    assert state is FAILED
    assert "champion" in reason
    assert world.served() == [1]
    world.registry.set_alias(TENANT, "churn", "champion", 1)
    assert world.look()[0] is PENDING


def test_a_newest_version_that_cannot_be_served_leaves_the_one_before(world: World) -> None:
    world.version()
    world.put()
    world.version(Parity(agreed=False, reason="labels differ"))
    state, reason, _, _ = world.look()
    assert (state, "labels differ" in reason) == (FAILED, True)
    assert world.served() == [1]


def test_one_gateway_that_fails_fails_the_deployment_with_its_reason(world: World) -> None:
    version = world.version()
    deployment = world.put()
    world.serve(deployment, version, "gwy_1")
    world.say(
        "gwy_2", ReplicaOutcome(deployment.id, version.id, deployment.generation, "does not load")
    )
    assert world.look() == (FAILED, "does not load", 1, 2)
    world.serve(deployment, version, "gwy_2")
    assert world.look()[0] is READY


def test_a_report_on_an_older_version_counts_for_nothing(world: World) -> None:
    one = world.version()
    deployment = world.put()
    world.say(
        "gwy_1", ReplicaOutcome(deployment.id, one.id, deployment.generation, "does not load")
    )
    world.version()
    assert world.look() == (PENDING, "0 of 1 gateways serve it", 0, 1)


def test_a_report_on_the_options_before_counts_for_nothing(world: World) -> None:
    version = world.version()
    before = world.put()
    world.serve(before, version, "gwy_1")
    assert world.look()[0] is READY
    spec = DeploymentSpec("churn", ServingOptions(memory_bytes=2**30))
    after = world.deployments.put(TENANT, "churn", spec)[0]
    assert world.look() == (PENDING, "0 of 1 gateways serve it", 0, 1)
    world.serve(after, version, "gwy_1")
    assert world.look()[0] is READY


def test_a_look_at_an_older_generation_changes_nothing(world: World) -> None:
    world.version()
    world.version()
    world.put("churn:1")
    world.look()
    old = world.deployments.get(TENANT, "churn")
    world.put("churn:2")
    with world.store.begin() as tx:
        assert not tx.board().observe(old.id, old.generation, old.status)
    assert world.served() == [2]
    assert world.deployments.get(TENANT, "churn").generation == 2


def test_nothing_changed_is_nothing_written(world: World) -> None:
    version = world.version()
    world.serve(world.put(), version, "gwy_1")
    assert world.reconciler.reconcile() == 1
    before = world.control.revision()
    assert world.reconciler.reconcile() == 0
    assert world.control.revision() == before


def test_the_same_spec_again_changes_nothing(world: World) -> None:
    world.version()
    first, made = world.deployments.put(TENANT, "churn", DeploymentSpec("churn"))
    before = world.control.revision()
    again, made_again = world.deployments.put(TENANT, "churn", DeploymentSpec("churn"))
    assert (made, made_again, again) == (True, False, first)
    assert world.control.revision() == before


def test_a_deployment_that_is_deleted_is_served_no_more(world: World) -> None:
    world.version()
    world.put()
    world.deployments.delete(TENANT, "churn")
    assert world.served() == []
    assert world.reconciler.reconcile() == 0
    with pytest.raises(NotFound):
        world.deployments.delete(TENANT, "churn")


@pytest.mark.parametrize("model", ["nothing", "churn:9", "churn@nobody"])
def test_a_mistake_is_told_to_whoever_made_it(world: World, model: str) -> None:
    world.version()
    with pytest.raises(NotFound):
        world.put(model)


@pytest.mark.parametrize("name", ["", "A", "a/b", "a" * 64])
def test_a_name_has_a_form(world: World, name: str) -> None:
    world.version()
    with pytest.raises(Invalid, match="deployment name"):
        world.put("churn", name)


def test_what_was_trained_here_is_served_as_a_graph_or_not_at_all(world: World) -> None:
    world.version(kind=Format.JOBLIB)
    with pytest.raises(Conflict, match="cannot be served: it has no ONNX form"):
        world.put()


def test_a_version_that_has_failed_is_not_deployed(world: World) -> None:
    failed = NewVersion(
        None, (), Lineage("import", "0"), Card("t", "a"),
        state=VersionState.FAILED, reason="it is no model",
    )  # fmt: skip
    world.registry.register(TENANT, "churn", failed)
    with pytest.raises(Conflict, match="cannot be served: it is no model"):
        world.put("churn:1")


def test_the_most_replicas_that_a_gateway_knows_of_are_shown(world: World) -> None:
    version = world.version()
    deployment = world.put()
    for gateway, count in (("gwy_1", 2), ("gwy_2", 1)):
        world.say(
            gateway,
            ReplicaOutcome(deployment.id, version.id, deployment.generation, replicas=count),
        )
    world.look()
    assert world.deployments.get(TENANT, "churn").status.replicas == 2
    for gateway in ("gwy_1", "gwy_2"):
        world.serve(deployment, version, gateway)
    world.look()
    assert world.deployments.get(TENANT, "churn").status.replicas is None


def test_another_tenants_model_is_not_there(world: World) -> None:
    world.version()
    with pytest.raises(NotFound):
        world.deployments.put("tnt_2", "churn", DeploymentSpec("churn"))
