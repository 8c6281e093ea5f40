"""Tenants and their API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from modelyard.adapters.memory.state import State, cut, cut_newest
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.tenancy.key import ApiKey
from modelyard.tenancy.tenant import Tenant


class MemoryTenants:
    """All tenants."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, tenant: Tenant) -> None:
        if tenant.name in self._state.tenants:
            raise Conflict(f"there is a tenant '{tenant.name}' already")
        self._state.tenants[tenant.name] = tenant

    def named(self, name: str) -> Tenant:
        try:
            return self._state.tenants[name]
        except KeyError:
            raise NotFound(f"there is no tenant '{name}'") from None

    def get(self, tenant_id: str) -> Tenant:
        for tenant in self._state.tenants.values():
            if tenant.id == tenant_id:
                return tenant
        raise NotFound(f"there is no tenant '{tenant_id}'")

    def list(self, page: PageRequest) -> Page[Tenant]:
        return cut(self._state.tenants.values(), page, lambda tenant: tenant.id)

    def ids(self) -> Sequence[str]:
        return [tenant.id for tenant in self._state.tenants.values()]


class MemoryKeys:
    """The keys of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def add(self, key: ApiKey) -> None:
        keys = self._state.keys
        if key.id in keys or any(other.hash == key.hash for other in keys.values()):
            raise Conflict("there is such a key already")
        keys[key.id] = replace(key, tenant_id=self._tenant_id)

    def get(self, key_id: str) -> ApiKey:
        key = self._state.keys.get(key_id)
        if key is None or key.tenant_id != self._tenant_id:
            raise NotFound(f"there is no key '{key_id}'")
        return key

    def list(self, page: PageRequest) -> Page[ApiKey]:
        own = (
            key
            for key in self._state.keys.values()
            if key.tenant_id == self._tenant_id and key.user_id is None
        )
        return cut_newest(own, page, lambda key: key.id)

    def rotate(self, key: ApiKey) -> None:
        self._state.keys[key.id] = replace(
            self.get(key.id),
            hash=key.hash,
            hint=key.hint,
            former_hash=key.former_hash,
            former_until=key.former_until,
        )

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        key = self.get(key_id)
        if key.revoked_at is None:
            key = replace(key, revoked_at=at)
            self._state.keys[key_id] = key
        return key
