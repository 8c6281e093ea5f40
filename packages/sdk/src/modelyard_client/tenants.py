"""Tenants: who owns models, holds keys and pays bills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route


class Tenant(msgspec.Struct, frozen=True):
    """A tenant."""

    id: str
    name: str
    created_at: datetime


class Tenants:
    """`/api/v1/tenants`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str) -> Tenant:
        """Open a tenant; for the operator."""
        return self._transport.request("POST", route("tenants"), Tenant, body={"name": name})

    def get(self, name: str) -> Tenant:
        """The tenant of this name: any for the operator, their own for everybody else."""
        return self._transport.request("GET", route("tenants", name), Tenant)

    def list(self, limit: int = 1000) -> Sequence[Tenant]:
        """Those that the caller may know of, oldest first."""
        return collect(self._transport, route("tenants"), Page[Tenant], limit)
