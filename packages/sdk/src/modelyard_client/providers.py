"""Providers: others' OpenAI APIs, which models may stand for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route


class Timeouts(msgspec.Struct, frozen=True):
    """How long the server waits for a provider, in seconds: until connected, from then until the
    answer begins, and between two parts of it.
    """

    connect_seconds: float = 5.0
    first_byte_seconds: float = 60.0
    between_seconds: float = 30.0


class Provider(msgspec.Struct, frozen=True):
    """A provider, without its key: `has_key` says whether there is one."""

    id: str
    name: str
    base_url: str
    has_key: bool
    created_at: datetime
    updated_at: datetime
    forward_headers: list[str] = []
    timeouts: Timeouts = Timeouts()


class Probe(msgspec.Struct, frozen=True):
    """What came of asking a provider for its models; `reason` is empty if all went well."""

    reason: str
    milliseconds: float
    models: list[str] = []


class Upstream(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model of a provider. Those of the lowest `order` are asked first, each as often as its
    `weight` has it; those of the next when none of them answers.
    """

    provider: str
    model: str
    weight: int = 1
    order: int = 0


class Providers:
    """`/api/v1/providers`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(
        self,
        name: str,
        base_url: str,
        *,
        api_key: str | None = None,
        forward_headers: Sequence[str] = (),
        timeouts: Timeouts | None = None,
    ) -> Provider:
        """Add or change the provider whose OpenAI API is at `base_url`.

        `api_key` is kept sealed, and never shown again; without one it keeps the one that it has.
        """
        body: dict[str, Any] = {"base_url": base_url, "forward_headers": list(forward_headers)}
        if api_key is not None:
            body["api_key"] = api_key
        if timeouts is not None:
            body["timeouts"] = msgspec.to_builtins(timeouts)
        return self._transport.request("PUT", route("providers", name), Provider, body=body)

    def get(self, name: str) -> Provider:
        """One provider."""
        return self._transport.request("GET", route("providers", name), Provider)

    def test(self, name: str) -> Probe:
        """Have the server ask it for its models."""
        return self._transport.request("POST", route("providers", name, "test"), Probe)

    def delete(self, name: str) -> None:
        """Forget it and its key."""
        self._transport.request("DELETE", route("providers", name), type(None))

    def list(self, limit: int = 1000) -> Sequence[Provider]:
        """All providers, by name."""
        return collect(self._transport, route("providers"), Page[Provider], limit)
