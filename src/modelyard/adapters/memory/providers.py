"""The providers of one tenant."""

from __future__ import annotations

from modelyard.adapters.memory.state import State, cut
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.registry.provider import Provider


class MemoryProviders:
    """The providers of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def get(self, name: str) -> Provider:
        provider = self.find(name)
        if provider is None:
            raise NotFound(f"there is no provider '{name}'")
        return provider

    def find(self, name: str) -> Provider | None:
        return self._state.providers.get((self._tenant_id, name))

    def list(self, page: PageRequest) -> Page[Provider]:
        return cut(providers_of(self._state, self._tenant_id), page, lambda one: one.name)

    def put(self, provider: Provider) -> None:
        present = self.find(provider.name)
        if present is not None and present.id != provider.id:
            raise Conflict(f"there is a provider '{provider.name}' already")
        self._state.providers[self._tenant_id, provider.name] = provider

    def delete(self, name: str) -> None:
        self.get(name)
        del self._state.providers[self._tenant_id, name]


def providers_of(state: State, tenant_id: str) -> list[Provider]:
    """All of one tenant's, in no order."""
    return [one for (tenant, _), one in state.providers.items() if tenant == tenant_id]
