from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import PageRequest
from modelyard.deployment.deployment import (
    Deployment,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    Target,
)
from tests.conformance.samples import OURS, START, THEIRS, a_deployment
from tests.conformance.stores import AnyStore


def put(store: AnyStore, deployment: Deployment) -> Deployment:
    with store.begin() as tx:
        tx.deployments(deployment.tenant_id).put(deployment)
    return deployment


def test_a_deployment_comes_back_as_it_was_put(store: AnyStore) -> None:
    deployment = put(store, a_deployment())
    with store.read() as tx:
        assert tx.deployments(OURS).get("churn") == deployment
        assert tx.deployments(OURS).find("churn") == deployment
        assert tx.deployments(OURS).find("fraud") is None


def test_a_deployment_is_replaced_by_its_id(store: AnyStore) -> None:
    first = put(store, a_deployment())
    changed = replace(
        first,
        spec=DeploymentSpec("churn:2"),
        generation=2,
        status=DeploymentStatus(DeploymentState.FAILED, "no such version", 1),
        updated_at=START + timedelta(days=1),
    )
    put(store, changed)
    with store.read() as tx:
        assert tx.deployments(OURS).list(PageRequest()).items == [changed]


def test_a_name_is_taken_once(store: AnyStore) -> None:
    put(store, a_deployment())
    with pytest.raises(Conflict, match="churn"):
        put(store, a_deployment())
    put(store, a_deployment(tenant_id=THEIRS))


def test_another_tenants_deployment_is_not_there(store: AnyStore) -> None:
    theirs = put(store, a_deployment(tenant_id=THEIRS))
    with store.begin() as tx:
        assert tx.deployments(OURS).list(PageRequest()).items == []
        assert tx.deployments(OURS).find("churn") is None
        with pytest.raises(NotFound):
            tx.deployments(OURS).get("churn")
        with pytest.raises(NotFound):
            tx.deployments(OURS).delete("churn")
    with pytest.raises(Conflict), store.begin() as tx:
        tx.deployments(OURS).put(replace(theirs, name="mine"))
    with store.read() as tx:
        assert tx.deployments(THEIRS).get("churn") == theirs


def test_a_deleted_deployment_is_gone(store: AnyStore) -> None:
    put(store, a_deployment())
    with store.begin() as tx:
        tx.deployments(OURS).delete("churn")
    with store.begin() as tx:
        assert tx.board().all() == []
        with pytest.raises(NotFound):
            tx.deployments(OURS).delete("churn")


def test_deployments_are_listed_by_name(store: AnyStore) -> None:
    for name in ("b", "c", "a"):
        put(store, a_deployment(name))
    with store.read() as tx:
        first = tx.deployments(OURS).list(PageRequest(2))
        second = tx.deployments(OURS).list(PageRequest.parse(2, first.next_cursor))
    assert [deployment.name for deployment in [*first.items, *second.items]] == ["a", "b", "c"]


def test_the_board_shows_every_tenants_deployments(store: AnyStore) -> None:
    both = [put(store, a_deployment()), put(store, a_deployment(tenant_id=THEIRS))]
    with store.read() as tx:
        assert tx.board().all() == both


def test_a_status_is_set_for_the_generation_that_it_speaks_of(store: AnyStore) -> None:
    deployment = put(store, a_deployment())
    status = DeploymentStatus(
        DeploymentState.READY,
        "",
        1,
        Target("churn", 3, "ver_3"),
        gateways_ready=2,
        gateways=2,
        replicas=3,
    )
    with store.begin() as tx:
        assert tx.board().observe(deployment.id, 1, status) is True
    with store.read() as tx:
        assert tx.deployments(OURS).get("churn") == replace(deployment, status=status)
    put(store, replace(deployment, generation=2))
    with store.begin() as tx:
        assert tx.board().observe(deployment.id, 1, status) is False
        assert tx.board().observe("dep_gone", 1, status) is False
    with store.read() as tx:
        assert tx.deployments(OURS).get("churn").status == DeploymentStatus()
