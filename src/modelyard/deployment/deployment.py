"""A deployment: a name on the data plane that stands for a version of a model.

`desired` is what the user put. The controller resolves it to a target version; each gateway
loads the target and reports; the controller sums the reports up to `status`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from modelyard.serving.options import ServingOptions


class DeploymentState(StrEnum):
    """PENDING: on its way. READY: every gateway serves the target. FAILED: see the reason.

    A deployment that is FAILED may still serve the version before.
    """

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class DeploymentSpec(msgspec.Struct, frozen=True):
    """What the user wants: a model reference (`churn`, `churn:3`, `churn@champion`), and how it is
    to be served.
    """

    model: str
    options: ServingOptions = ServingOptions()


class Target(msgspec.Struct, frozen=True):
    """The version that the spec means at this moment."""

    model: str
    number: int
    version_id: str


class DeploymentStatus(msgspec.Struct, frozen=True):
    """What is observed. `generation` is the one that the status speaks of. `replicas` counts the
    processes that serve it now, on one host; it is None where the gateways do so themselves.
    """

    state: DeploymentState = DeploymentState.PENDING
    reason: str = ""
    generation: int = 0
    target: Target | None = None
    gateways_ready: int = 0
    gateways: int = 0
    replicas: int | None = None


class Deployment(msgspec.Struct, frozen=True):
    """A deployment. `generation` goes up with every change of the spec."""

    id: str
    tenant_id: str
    name: str
    spec: DeploymentSpec
    generation: int
    status: DeploymentStatus
    created_at: datetime
    updated_at: datetime


class ReplicaState(StrEnum):
    """What a gateway says of its own replica."""

    READY = "ready"
    FAILED = "failed"


class ReplicaReport(msgspec.Struct, frozen=True):
    """One gateway's word on one deployment's target, as a generation of its spec wants it."""

    gateway_id: str
    deployment_id: str
    version_id: str
    generation: int
    state: ReplicaState
    reason: str = ""
    replicas: int | None = None
