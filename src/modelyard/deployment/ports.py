"""What this room needs from the store."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from modelyard.core.pages import Page, PageRequest
from modelyard.deployment.deployment import (
    Deployment,
    DeploymentStatus,
    ReplicaReport,
)
from modelyard.registry.ports import ModelRepository


class DeploymentRepository(Protocol):
    """The deployments of one tenant."""

    def get(self, name: str) -> Deployment:
        """Raises NotFound."""
        ...

    def find(self, name: str) -> Deployment | None:
        """The same without the error."""
        ...

    def list(self, page: PageRequest) -> Page[Deployment]:
        """By name."""
        ...

    def put(self, deployment: Deployment) -> None:
        """Insert, or replace the one with the same id."""
        ...

    def delete(self, name: str) -> None:
        """Raises NotFound."""
        ...


class DeploymentBoard(Protocol):
    """All deployments and what the gateways say of them; for the controller."""

    def all(self) -> list[Deployment]:
        """Every deployment of every tenant."""
        ...

    def observe(self, deployment_id: str, generation: int, status: DeploymentStatus) -> bool:
        """Set the status; False when the deployment has gone or has a newer generation."""
        ...

    def gateways(self, seen_since: datetime) -> list[str]:
        """The gateways that are alive."""
        ...

    def reports(self) -> list[ReplicaReport]:
        """The newest word of each gateway on each deployment's version."""
        ...

    def forget_gateways(self, unseen_since: datetime) -> int:
        """Drop gateways that went silent, with their reports."""
        ...


class DeploymentTransaction(Protocol):
    """A transaction over deployments."""

    def deployments(self, tenant_id: str) -> DeploymentRepository: ...

    def board(self) -> DeploymentBoard: ...

    def models(self, tenant_id: str) -> ModelRepository: ...

    def revision(self) -> int:
        """Raised by whatever changes models, aliases, deployments, and all that gateways follow."""
        ...

    def bump(self) -> None: ...
