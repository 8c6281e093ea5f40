"""Deployments: names on the data plane that stand for a version of a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from modelyard_client.errors import ClientError, TimedOut
from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route

_POLL_SECONDS: Final = 0.2


class CacheOptions(msgspec.Struct, frozen=True):
    """The response cache: answers kept for equal inputs. `max_bytes` is per gateway."""

    max_bytes: int = 64 << 20
    ttl_seconds: float = 300.0


class ReplicaOptions(msgspec.Struct, frozen=True):
    """How many processes serve the model: one for each `target_concurrency` requests at a time,
    between `min` (0: none while nobody asks) and `max`.
    """

    min: int = 1
    max: int = 1
    target_concurrency: int = 4


class LanguageOptions(msgspec.Struct, frozen=True):
    """How a language model is run; what is 0 or empty is left to the server.

    `engine` is `auto`, `openvino` or `llamacpp`. Up to `slots` answers are generated at once, each
    of them with its prompt up to `context` tokens long, by `threads` threads. `kv_cache_mb` is for
    the keys and values of all of them. `chat_template` replaces the file's own.
    """

    engine: str = "auto"
    context: int = 0
    slots: int = 0
    threads: int = 0
    kv_cache_mb: int = 0
    chat_template: str = ""


class ServingOptions(msgspec.Struct, frozen=True):
    """How a deployment is served; each gateway applies it by itself.

    Up to `max_batch_size` rows share a call of the model; a batch that is not full waits for
    `max_delay_ms`. Up to `max_queue` requests may wait, and each may take `timeout_ms`.

    With `replicas` the model has processes of its own, which all gateways share. `pinned` ones
    stay in memory when others need it; beyond the fewest they end after `idle_seconds` without a
    request, and none may take more than `memory_bytes` (0: as the server decides). `language` is
    for language models.
    """

    max_batch_size: int = 32
    max_delay_ms: float = 0.0
    max_queue: int = 256
    timeout_ms: int = 60_000
    cache: CacheOptions | None = None
    replicas: ReplicaOptions | None = None
    pinned: bool = False
    idle_seconds: float = 300.0
    memory_bytes: int = 0
    language: LanguageOptions | None = None


class DeploymentSpec(msgspec.Struct, frozen=True):
    """What was asked for: `churn`, `churn:3` or `churn@champion`, and how it is to be served."""

    model: str
    options: ServingOptions = ServingOptions()


class Target(msgspec.Struct, frozen=True):
    """The version that the spec means at this moment."""

    model: str
    number: int
    version_id: str


class DeploymentStatus(msgspec.Struct, frozen=True):
    """What the server observes. `state` is `pending`, `ready` or `failed`; `replicas` counts the
    processes that serve it now, and is None where the gateways do so themselves.
    """

    state: str = "pending"
    reason: str = ""
    generation: int = 0
    target: Target | None = None
    gateways_ready: int = 0
    gateways: int = 0
    replicas: int | None = None


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

    def put(self, name: str, model: str, options: ServingOptions | None = None) -> Deployment:
        """Make or change the deployment `name` to serve `model` (`churn`, `churn:3`, ...).

        Without `options` those that it has stay.
        """
        body: dict[str, Any] = {"model": model}
        if options is not None:
            body["options"] = msgspec.to_builtins(options)
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
