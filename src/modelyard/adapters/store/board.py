"""All deployments, and what the gateways say of them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select, update

from modelyard.adapters.store.deployments import deployment_of, status_values
from modelyard.adapters.store.tables import deployments, gateways, replicas
from modelyard.deployment.deployment import Deployment, DeploymentStatus, ReplicaReport

_REPORT: Final = tuple(replicas.c[name] for name in ReplicaReport.__struct_fields__)


class SqlBoard:
    """The controller's view."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[Deployment]:
        rows = self._connection.execute(select(deployments).order_by(deployments.c.id))
        return [deployment_of(row) for row in rows]

    def observe(self, deployment_id: str, generation: int, status: DeploymentStatus) -> bool:
        changed = self._connection.execute(
            update(deployments)
            .where(deployments.c.id == deployment_id, deployments.c.generation == generation)
            .values(status_values(status))
        )
        return changed.rowcount == 1

    def gateways(self, seen_since: datetime) -> list[str]:
        statement = select(gateways.c.id).where(gateways.c.seen_at >= seen_since)
        return list(self._connection.execute(statement.order_by(gateways.c.id)).scalars())

    def reports(self) -> list[ReplicaReport]:
        rows = self._connection.execute(select(*_REPORT).order_by(*_REPORT[:3]))
        return [ReplicaReport(*row) for row in rows]

    def forget_gateways(self, unseen_since: datetime) -> int:
        # Their reports go with them, by the foreign key.
        return self._connection.execute(
            delete(gateways).where(gateways.c.seen_at < unseen_since)
        ).rowcount
