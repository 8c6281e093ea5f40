"""The deployments of one tenant, and the controller's view of all of them."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from modelyard.adapters.memory.state import State, cut
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.deployment.deployment import Deployment, DeploymentStatus, ReplicaReport


class MemoryDeployments:
    """The deployments of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def get(self, name: str) -> Deployment:
        deployment = self.find(name)
        if deployment is None:
            raise NotFound(f"there is no deployment '{name}'")
        return deployment

    def find(self, name: str) -> Deployment | None:
        named = (
            deployment
            for deployment in self._state.deployments.values()
            if (deployment.tenant_id, deployment.name) == (self._tenant_id, name)
        )
        return next(named, None)

    def list(self, page: PageRequest) -> Page[Deployment]:
        own = (
            deployment
            for deployment in self._state.deployments.values()
            if deployment.tenant_id == self._tenant_id
        )
        return cut(own, page, lambda deployment: deployment.name)

    def put(self, deployment: Deployment) -> None:
        there = self._state.deployments.get(deployment.id)
        named = self.find(deployment.name)
        if (there is not None and there.tenant_id != self._tenant_id) or (
            named is not None and named.id != deployment.id
        ):
            raise Conflict(f"there is a deployment '{deployment.name}' already")
        if there is None and (self._tenant_id, deployment.name) in self._state.subscriptions:
            raise Conflict(f"there is a subscription '{deployment.name}' already")
        self._state.deployments[deployment.id] = replace(deployment, tenant_id=self._tenant_id)

    def delete(self, name: str) -> None:
        deployment = self.get(name)
        del self._state.deployments[deployment.id]
        for listing in list(self._state.listings.values()):
            if listing.deployment_id == deployment.id:
                del self._state.listings[listing.id]


class MemoryBoard:
    """All deployments, and what the gateways say of them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def all(self) -> list[Deployment]:
        return sorted(self._state.deployments.values(), key=lambda deployment: deployment.id)

    def observe(self, deployment_id: str, generation: int, status: DeploymentStatus) -> bool:
        deployment = self._state.deployments.get(deployment_id)
        if deployment is None or deployment.generation != generation:
            return False
        self._state.deployments[deployment_id] = replace(deployment, status=status)
        return True

    def gateways(self, seen_since: datetime) -> list[str]:
        return sorted(g for g, seen_at in self._state.gateways.items() if seen_at >= seen_since)

    def reports(self) -> list[ReplicaReport]:
        reports = [report for of_it in self._state.reports.values() for report in of_it]
        return sorted(reports, key=lambda r: (r.gateway_id, r.deployment_id, r.version_id))

    def forget_gateways(self, unseen_since: datetime) -> int:
        silent = [g for g, seen_at in self._state.gateways.items() if seen_at < unseen_since]
        for gateway_id in silent:
            del self._state.gateways[gateway_id]
            self._state.reports.pop(gateway_id, None)
        return len(silent)
