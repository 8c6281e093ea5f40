"""Deployments: names on the data plane that stand for a version of a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from modelyard_client.errors import ClientError, TimedOut
from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route

_POLL_SECONDS: Final = 0.2


class DeploymentSpec(msgspec.Struct, frozen=True):
    """What was asked for: `churn`, `churn:3` or `churn@champion`."""

    model: str


class Target(msgspec.Struct, frozen=True):
    """The version that the spec means at this moment."""

    model: str
    number: int
    version_id: str


class DeploymentStatus(msgspec.Struct, frozen=True):
    """What the server observes. `state` is `pending`, `ready` or `failed`."""

    state: str = "pending"
    reason: str = ""
    generation: int = 0
    target: Target | None = None
    gateways_ready: int = 0
    gateways: int = 0


class Deployment(msgspec.Struct, frozen=True):
    """A deployment. `generation` goes up with every change of the spec."""

    id: str
    name: str
    spec: DeploymentSpec
    generation: int
    status: DeploymentStatus
    created_at: datetime
    updated_at: datetime

    @property
    def settled(self) -> bool:
        """Whether the status speaks of the newest spec, and has an outcome."""
        return self.status.generation >= self.generation and self.status.state != "pending"


class DeploymentFailed(ClientError):
    """The deployment cannot be served; the message is the server's reason."""


class Deployments:
    """`/api/v1/deployments`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(self, name: str, model: str) -> Deployment:
        """Make or change the deployment `name` to serve `model` (`churn`, `churn:3`, ...)."""
        body = {"model": model}
        return self._transport.request("PUT", route("deployments", name), Deployment, body=body)

    def get(self, name: str) -> Deployment:
        """One deployment."""
        return self._transport.request("GET", route("deployments", name), Deployment)

    def delete(self, name: str) -> None:
        """Take it off the data plane."""
        self._transport.request("DELETE", route("deployments", name), type(None))

    def wait_ready(self, name: str, timeout: float = 60.0) -> Deployment:
        """Return the deployment when every gateway serves what was asked for.

        Raises:
            DeploymentFailed: it cannot be served.
            TimedOut: neither came true within `timeout` seconds. It goes on.
        """
        end = time.monotonic() + timeout
        while True:
            deployment = self.get(name)
            if deployment.settled:
                if deployment.status.state == "ready":
                    return deployment
                raise DeploymentFailed(f"deployment '{name}' failed: {deployment.status.reason}")
            if time.monotonic() > end:
                raise TimedOut(
                    f"deployment '{name}' is not ready after {timeout:g} s; it goes on",
                    hint=f"see 'modelyard deployments show {name}'",
                )
            time.sleep(_POLL_SECONDS)

    def list(self, limit: int = 1000) -> Sequence[Deployment]:
        """All deployments, by name."""
        return collect(self._transport, route("deployments"), Page[Deployment], limit)
