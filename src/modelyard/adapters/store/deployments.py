"""The deployments of one tenant, and how a deployment is written as a row."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from modelyard.adapters.store.tables import deployments, subscriptions
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.deployment.deployment import Deployment, DeploymentStatus, Target


def deployment_of(row: Row[Any]) -> Deployment:
    """The deployment in a whole row of its table."""
    target = None
    if row.target_version_id is not None:
        target = Target(row.target_model, row.target_number, row.target_version_id)
    status = DeploymentStatus(
        state=row.state,
        reason=row.reason,
        generation=row.observed_generation,
        target=target,
        gateways_ready=row.gateways_ready,
        gateways=row.gateways,
        replicas=row.replicas,
    )
    return Deployment(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        spec=row.spec,
        generation=row.generation,
        status=status,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def status_values(status: DeploymentStatus) -> dict[str, Any]:
    """The columns that hold the status."""
    target = status.target
    return {
        "state": status.state,
        "reason": status.reason,
        "observed_generation": status.generation,
        "target_model": target and target.model,
        "target_number": target and target.number,
        "target_version_id": target and target.version_id,
        "gateways_ready": status.gateways_ready,
        "gateways": status.gateways,
        "replicas": status.replicas,
    }


_REPLACED: Final = ("name", "spec", "generation", "created_at", "updated_at")


class SqlDeployments(TenantRows):
    """The deployments of one tenant."""

    def get(self, name: str) -> Deployment:
        deployment = self.find(name)
        if deployment is None:
            raise NotFound(f"there is no deployment '{name}'")
        return deployment

    def find(self, name: str) -> Deployment | None:
        # Locked in a writing transaction: the controller must not set a status in between.
        statement = self._select_to_change(deployments).where(deployments.c.name == name)
        row = self._connection.execute(statement).one_or_none()
        return None if row is None else deployment_of(row)

    def list(self, page: PageRequest) -> Page[Deployment]:
        statement = self._select(deployments)
        if page.after is not None:
            statement = statement.where(deployments.c.name > page.after)
        rows = self._connection.execute(
            statement.order_by(deployments.c.name).limit(page.limit + 1)
        )
        found = [deployment_of(row) for row in rows]
        return Page.cut(found, page, lambda deployment: deployment.name)

    def put(self, deployment: Deployment) -> None:
        values = {name: getattr(deployment, name) for name in _REPLACED}
        values |= status_values(deployment.status)
        own = deployments.c.id == deployment.id
        changed = self._connection.execute(self._update(deployments).where(own).values(values))
        if changed.rowcount:
            return
        taken = self._select(subscriptions, subscriptions.c.id).where(
            subscriptions.c.name == deployment.name
        )
        if self._connection.execute(taken).first() is not None:
            raise Conflict(f"there is a subscription '{deployment.name}' already")
        if not self._added(deployments, id=deployment.id, **values):
            raise Conflict(f"there is a deployment '{deployment.name}' already")

    def delete(self, name: str) -> None:
        deleted = self._connection.execute(
            self._delete(deployments).where(deployments.c.name == name)
        )
        if deleted.rowcount == 0:
            raise NotFound(f"there is no deployment '{name}'")
