from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from modelyard.adapters.memory import MemoryControlPlane
from modelyard.adapters.store import SqlControlPlane
from modelyard.core.clock import ManualClock
from modelyard.core.profile import Profile
from modelyard.core.trust import Trust
from modelyard.deployment.deployment import (
    DeploymentSpec,
    DeploymentStatus,
    ReplicaReport,
    ReplicaState,
    Target,
)
from modelyard.registry.artifact import Artifact, Format
from modelyard.registry.parity import Parity
from modelyard.registry.version import ModelVersion
from modelyard.serving.options import CacheOptions, ServingOptions
from modelyard.serving.ports import KeyEntry, ReplicaOutcome, WantedArtifact, WantedRoute
from tests.conformance.samples import (
    OURS,
    SIGNATURE,
    START,
    THEIRS,
    a_deployment,
    a_failed_version,
    a_key,
    a_provider,
    a_version,
    digest,
)
from tests.conformance.stores import AnyStore, interrupted

Control = SqlControlPlane | MemoryControlPlane


def register(store: AnyStore, tenant_id: str = OURS, parity: Parity | None = None) -> ModelVersion:
    with store.begin() as tx:
        tx.models(tenant_id).ensure("churn", START)
        return tx.models(tenant_id).add_version("churn", a_version(parity=parity), START)


def test_the_revision_rises_with_each_bump_that_commits(store: AnyStore, control: Control) -> None:
    before = control.revision()
    with store.begin() as tx:
        tx.bump()
        tx.bump()
    assert control.revision() == control.wanted().revision == before + 1
    with interrupted(store) as tx:
        tx.bump()
    assert control.revision() == before + 1


def test_only_keys_in_force_are_wanted(
    store: AnyStore, control: Control, clock: ManualClock
) -> None:
    lasting = a_key()
    passing = a_key(THEIRS, expires_at=clock.now() + timedelta(seconds=10))
    revoked = a_key()
    with store.begin() as tx:
        tx.keys(OURS).add(lasting)
        tx.keys(THEIRS).add(passing)
        tx.keys(OURS).add(revoked)
    assert len(control.wanted().keys) == 3
    with store.begin() as tx:
        tx.keys(OURS).revoke(revoked.id, clock.now())
    assert sorted(control.wanted().keys, key=lambda entry: entry.grant.key_id) == [
        KeyEntry(key.hash, key.grant, key.expires_at) for key in (lasting, passing)
    ]
    clock.advance(10)
    assert [entry.hash for entry in control.wanted().keys] == [lasting.hash]


def test_a_deployment_with_a_target_is_a_route(store: AnyStore, control: Control) -> None:
    version = register(store)
    deployment = a_deployment("live", target=version)
    with store.begin() as tx:
        tx.deployments(OURS).put(deployment)
        tx.deployments(OURS).put(a_deployment("pending"))
    assert control.wanted().routes == [
        WantedRoute(
            deployment_id=deployment.id,
            tenant_id=OURS,
            name="live",
            model="churn",
            version=1,
            version_id=version.id,
            signature=SIGNATURE,
            artifacts=(WantedArtifact("model", "model.onnx", "onnx", digest("onnx"), 10),),
            trust=Trust.INLINE,
        )
    ]
    with store.begin() as tx:
        tx.deployments(OURS).delete("live")
    assert control.wanted().routes == []


def test_a_route_is_served_as_its_deployment_wants_it(store: AnyStore, control: Control) -> None:
    options = ServingOptions(4, 1.5, 8, 250, CacheOptions(4096, 2.5))
    deployment = a_deployment(target=register(store))
    spec = DeploymentSpec(deployment.spec.model, options)
    with store.begin() as tx:
        tx.deployments(OURS).put(replace(deployment, spec=spec))
    (route,) = control.wanted().routes
    assert route.options == options


@pytest.mark.parametrize(("source", "served"), [("import", ["model.joblib"]), ("training", [])])
def test_an_import_whose_graph_disagrees_is_served_as_it_came(
    store: AnyStore, control: Control, source: str, served: list[str]
) -> None:
    new = a_version(parity=Parity(agreed=False, reason="labels differ"))
    new = replace(new, lineage=replace(new.lineage, source=source))
    with store.begin() as tx:
        tx.models(OURS).ensure("churn", START)
        version = tx.models(OURS).add_version("churn", new, START)
        tx.deployments(OURS).put(a_deployment(target=version))
    (route,) = control.wanted().routes
    assert [one.name for one in route.artifacts] == served
    assert (route.format, route.trust) == (("joblib", Trust.CODE) if served else ("", None))


def test_a_version_that_has_failed_is_a_route_without_artifacts(
    store: AnyStore, control: Control
) -> None:
    with store.begin() as tx:
        tx.models(OURS).ensure("churn", START)
        version = tx.models(OURS).add_version("churn", a_failed_version(), START)
        tx.deployments(OURS).put(a_deployment(target=version))
    (route,) = control.wanted().routes
    assert (route.artifacts, route.format, route.trust) == ((), "", None)


def test_a_route_knows_what_its_version_costs(store: AnyStore, control: Control) -> None:
    profile = Profile(memory_bytes=1 << 20, call_seconds=1e-5, row_seconds=1e-7, stackable=True)
    with store.begin() as tx:
        tx.models(OURS).ensure("churn", START)
        new = replace(a_version(), profile=profile)
        version = tx.models(OURS).add_version("churn", new, START)
        tx.deployments(OURS).put(a_deployment(target=version))
    (route,) = control.wanted().routes
    assert route.profile == version.profile == profile


def test_a_target_of_another_tenant_is_no_route(store: AnyStore, control: Control) -> None:
    version = register(store, THEIRS)
    with store.begin() as tx:
        tx.deployments(OURS).put(a_deployment(target=version))
    assert control.wanted().routes == []


def test_a_report_is_all_that_its_gateway_says(store: AnyStore, control: Control) -> None:
    control.report("gwy_a", START, [ReplicaOutcome("dep_1", "ver_1", 1, replicas=3)])
    control.report("gwy_b", START, [ReplicaOutcome("dep_1", "ver_1", 1, "out of memory")])
    newer = [
        ReplicaOutcome("dep_1", "ver_2", 1, replicas=2),
        ReplicaOutcome("dep_1", "ver_3", 1, "not ONNX\x00"),
    ]
    control.report("gwy_a", START + timedelta(seconds=1), newer)
    with store.read() as tx:
        reports = tx.board().reports()
    failed = reports.pop(1)
    assert reports == [
        ReplicaReport("gwy_a", "dep_1", "ver_2", 1, ReplicaState.READY, "", 2),
        ReplicaReport("gwy_b", "dep_1", "ver_1", 1, ReplicaState.FAILED, "out of memory"),
    ]
    assert (failed.version_id, failed.state) == ("ver_3", ReplicaState.FAILED)
    assert failed.reason.startswith("not ONNX")


def test_a_gateway_is_alive_while_it_reports(store: AnyStore, control: Control) -> None:
    control.report("gwy_a", START, [ReplicaOutcome("dep_1", "ver_1", 1)])
    control.report("gwy_b", START + timedelta(seconds=5), [])
    with store.read() as tx:
        assert tx.board().gateways(START) == ["gwy_a", "gwy_b"]
        assert tx.board().gateways(START + timedelta(seconds=1)) == ["gwy_b"]
    with store.begin() as tx:
        assert tx.board().forget_gateways(START + timedelta(seconds=1)) == 1
    with store.read() as tx:
        assert tx.board().gateways(START) == ["gwy_b"]
        assert tx.board().reports() == []


def test_a_gateway_that_leaves_is_forgotten(store: AnyStore, control: Control) -> None:
    control.report("gwy_a", START, [ReplicaOutcome("dep_1", "ver_1", 1)])
    control.leave("gwy_a")
    control.leave("gwy_unknown")
    with store.read() as tx:
        assert tx.board().gateways(START) == []
        assert tx.board().reports() == []


def test_a_model_that_runs_elsewhere_knows_its_tenants_providers(
    store: AnyStore, control: Control
) -> None:
    ours, theirs = a_provider("openai"), a_provider("openai")
    description = Artifact("upstreams.json", Format.UPSTREAM, digest("up"), 90)
    with store.begin() as tx:
        tx.providers(OURS).put(ours)
        tx.providers(THEIRS).put(theirs)
        tx.models(OURS).ensure("churn", START)
        plain = tx.models(OURS).add_version("churn", a_version(), START)
        new = replace(a_version(), artifacts=(description,))
        version = tx.models(OURS).add_version("churn", new, START)
    put = partial(_deployed, store)
    put("here", plain)
    put("elsewhere", version)
    here, elsewhere = sorted(control.wanted().routes, key=lambda one: one.name, reverse=True)
    assert here.providers == ()
    assert (elsewhere.format, elsewhere.trust) == ("upstream", Trust.INLINE)
    [provider] = elsewhere.providers
    assert (provider.id, provider.sealed) == (ours.id, ours.sealed)
    assert provider.base_url == ours.spec.base_url
    # A key that is changed makes another route of it, so that gateways follow.
    with store.begin() as tx:
        tx.providers(OURS).put(replace(ours, sealed=b"other"))
    assert elsewhere not in control.wanted().routes
    with store.begin() as tx:
        tx.providers(OURS).delete("openai")
    assert {route.providers for route in control.wanted().routes} == {()}


def _deployed(store: AnyStore, name: str, version: ModelVersion) -> None:
    target = Target(version.model, version.number, version.id)
    deployment = replace(a_deployment(), name=name, status=DeploymentStatus(target=target))
    with store.begin() as tx:
        tx.deployments(OURS).put(deployment)
