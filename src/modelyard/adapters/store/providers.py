"""The providers of one tenant."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, select

from modelyard.adapters.store.tables import providers
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.registry.provider import Provider

PROVIDER: Final = tuple(providers.c[name] for name in Provider.__struct_fields__)
OF_ALL: Final = select(providers.c.tenant_id, *PROVIDER).order_by(providers.c.id)
"""Every tenant's, for gateways: always in the same order."""


def provider_of(row: Row[Any]) -> Provider:
    """The provider in a row of `PROVIDER`."""
    return Provider(*(getattr(row, name) for name in Provider.__struct_fields__))


class SqlProviders(TenantRows):
    """The providers of one tenant."""

    def get(self, name: str) -> Provider:
        provider = self.find(name)
        if provider is None:
            raise NotFound(f"there is no provider '{name}'")
        return provider

    def find(self, name: str) -> Provider | None:
        statement = self._select_to_change(providers, *PROVIDER).where(providers.c.name == name)
        row = self._connection.execute(statement).one_or_none()
        return None if row is None else provider_of(row)

    def list(self, page: PageRequest) -> Page[Provider]:
        statement = self._select(providers, *PROVIDER)
        if page.after is not None:
            statement = statement.where(providers.c.name > page.after)
        rows = self._connection.execute(statement.order_by(providers.c.name).limit(page.limit + 1))
        return Page.cut([provider_of(row) for row in rows], page, lambda one: one.name)

    def put(self, provider: Provider) -> None:
        values = {name: getattr(provider, name) for name in Provider.__struct_fields__}
        own = providers.c.id == provider.id
        changed = self._connection.execute(self._update(providers).where(own).values(values))
        if not changed.rowcount and not self._added(providers, **values):
            raise Conflict(f"there is a provider '{provider.name}' already")

    def delete(self, name: str) -> None:
        deleted = self._connection.execute(self._delete(providers).where(providers.c.name == name))
        if deleted.rowcount == 0:
            raise NotFound(f"there is no provider '{name}'")
