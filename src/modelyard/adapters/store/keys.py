"""Tenants and their API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, or_, select, update

from modelyard.adapters.store.columns import Moment
from modelyard.adapters.store.tables import api_keys, tenants
from modelyard.adapters.store.tenant_rows import TenantRows, upsert, was_written
from modelyard.core.clock import from_microseconds
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.tenancy.key import ApiKey
from modelyard.tenancy.tenant import Tenant

_TENANTS: Final = select(*(tenants.c[name] for name in Tenant.__struct_fields__))
KEY: Final = tuple(api_keys.c[name] for name in ApiKey.__struct_fields__)


class SqlTenants:
    """All tenants."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, tenant: Tenant) -> None:
        statement = upsert(self._connection.dialect, tenants).values(
            id=tenant.id, name=tenant.name, created_at=tenant.created_at
        )
        if not was_written(self._connection, statement.on_conflict_do_nothing()):
            raise Conflict(f"there is a tenant '{tenant.name}' already")

    def named(self, name: str) -> Tenant:
        row = self._connection.execute(_TENANTS.where(tenants.c.name == name)).one_or_none()
        if row is None:
            raise NotFound(f"there is no tenant '{name}'")
        return Tenant(*row)

    def get(self, tenant_id: str) -> Tenant:
        row = self._connection.execute(_TENANTS.where(tenants.c.id == tenant_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no tenant '{tenant_id}'")
        return Tenant(*row)

    def list(self, page: PageRequest) -> Page[Tenant]:
        statement = _TENANTS.order_by(tenants.c.id).limit(page.limit + 1)
        if page.after is not None:
            statement = statement.where(tenants.c.id > page.after)
        found = [Tenant(*row) for row in self._connection.execute(statement)]
        return Page.cut(found, page, lambda tenant: tenant.id)

    def ids(self) -> Sequence[str]:
        return list(self._connection.execute(select(tenants.c.id)).scalars())


def note_use(connection: Connection, used: Mapping[str, int]) -> None:
    """Keep when keys were last used: microseconds since 1970 by key. Never an earlier time."""
    rows = [{"key": key_id, "used": from_microseconds(at)} for key_id, at in sorted(used.items())]
    connection.execute(
        update(api_keys)
        .where(
            api_keys.c.id == bindparam("key"),
            or_(
                api_keys.c.last_used_at.is_(None),
                api_keys.c.last_used_at < bindparam("used", type_=Moment),
            ),
        )
        .values(last_used_at=bindparam("used", type_=Moment)),
        rows,
    )


class SqlKeys(TenantRows):
    """The keys of one tenant."""

    def add(self, key: ApiKey) -> None:
        added = self._added(
            api_keys,
            id=key.id,
            name=key.name,
            scope=key.scope,
            hash=key.hash,
            hint=key.hint,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            deployments=key.deployments,
            networks=key.networks,
            former_hash=key.former_hash,
            former_until=key.former_until,
            user_id=key.user_id,
        )
        if not added:
            raise Conflict("there is such a key already")

    def get(self, key_id: str) -> ApiKey:
        statement = self._select(api_keys, *KEY).where(api_keys.c.id == key_id)
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound(f"there is no key '{key_id}'")
        return ApiKey(*row)

    def list(self, page: PageRequest) -> Page[ApiKey]:
        statement = self._select(api_keys, *KEY).where(api_keys.c.user_id.is_(None))
        if page.after is not None:
            statement = statement.where(api_keys.c.id < page.after)
        rows = self._connection.execute(
            statement.order_by(api_keys.c.id.desc()).limit(page.limit + 1)
        )
        return Page.cut([ApiKey(*row) for row in rows], page, lambda key: key.id)

    def rotate(self, key: ApiKey) -> None:
        changed = self._connection.execute(
            self._update(api_keys)
            .where(api_keys.c.id == key.id)
            .values(
                hash=key.hash,
                hint=key.hint,
                former_hash=key.former_hash,
                former_until=key.former_until,
            )
        )
        if changed.rowcount == 0:
            raise NotFound(f"there is no key '{key.id}'")

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        self._connection.execute(
            self._update(api_keys)
            .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        return self.get(key_id)
