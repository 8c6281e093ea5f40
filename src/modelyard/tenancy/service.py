"""Tenants and keys: use cases."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import msgspec

from modelyard.core import ids
from modelyard.core.access import Grant, Permission, Scope, permissions_of
from modelyard.core.clock import Clock
from modelyard.core.errors import Invalid, NotFound
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.tenancy.key import (
    MAX_KEY,
    MIN_OPERATOR_KEY,
    ApiKey,
    hash_secret,
    hint_of,
    new_secret,
)
from modelyard.tenancy.ports import TenancyTransaction
from modelyard.tenancy.tenant import DEFAULT, Tenant

MAX_KEY_NAME: Final = 100

_OPERATOR_KEY: Final = re.compile(rf"[!-~]{{{MIN_OPERATOR_KEY},{MAX_KEY}}}")


class TenancyService:
    """Makes, lists and revokes keys. `pepper` is the server's secret for hashing them."""

    def __init__(self, store: Store[TenancyTransaction], clock: Clock, pepper: bytes) -> None:
        self._store = store
        self._clock = clock
        self._pepper = pepper

    def open(self, operator_key: str | None) -> str | None:
        """Make the default tenant and the operator's key, if this is the first start.

        Returns:
            The operator's key when it was made here, so that it can be shown once; None when the
            installation was already open.

        Raises:
            Invalid: `operator_key` is too weak to guard an installation.
        """
        with self._store.begin() as tx:
            try:
                tx.tenants().named(DEFAULT)
            except NotFound:
                pass
            else:
                return None
            if operator_key is not None:
                _check_operator_key(operator_key)
            secret = operator_key or new_secret()
            tenant = Tenant(ids.new_id(ids.TENANT), DEFAULT, self._clock.now())
            tx.tenants().add(tenant)
            self._add(tx, tenant.id, "operator", Scope.ADMIN, None, secret)
            return secret

    def open_tenant(self, name: str) -> Tenant:
        """Make a tenant.

        Raises:
            Invalid: not a name.
            Conflict: it is taken.
        """
        tenant = Tenant(ids.new_id(ids.TENANT), check_name("tenant", name), self._clock.now())
        with self._store.begin() as tx:
            tx.tenants().add(tenant)
        return tenant

    def tenants(self, grant: Grant, page: PageRequest) -> Page[Tenant]:
        """Those that the caller may know of: the operator all, others their own."""
        with self._store.read() as tx:
            if Permission.OPERATE in grant.permissions:
                return tx.tenants().list(page)
            own = tx.tenants().get(grant.tenant_id)
        return Page([own] if page.after is None or own.id > page.after else [])

    def tenant(self, grant: Grant, name: str) -> Tenant:
        """The tenant of this name.

        Raises:
            NotFound: there is none, or it is neither the caller's nor is the caller the operator.
        """
        with self._store.read() as tx:
            tenant = tx.tenants().named(name)
        if tenant.id != grant.tenant_id and Permission.OPERATE not in grant.permissions:
            raise NotFound(f"there is no tenant '{name}'")
        return tenant

    def act(self, grant: Grant, name: str) -> Grant:
        """The caller's grant within the tenant of this name. Raises NotFound as `tenant` does."""
        return msgspec.structs.replace(grant, tenant_id=self.tenant(grant, name).id)

    def create_key(
        self,
        tenant_id: str,
        name: str,
        scope: str,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; the second value is the key itself, which is never to be seen again.

        Raises:
            Invalid: the name is empty or too long, there is no such scope, the expiry has passed,
                or the operator's scope is asked for in a tenant that is not the operator's.
        """
        name = name.strip()
        if not 1 <= len(name) <= MAX_KEY_NAME or not name.isprintable():
            raise Invalid(f"a key's name must be 1 to {MAX_KEY_NAME} printable characters")
        if expires_at is not None and expires_at <= self._clock.now():
            raise Invalid(f"expires_at {expires_at.isoformat()} has already passed")
        operates = Permission.OPERATE in permissions_of(scope)
        secret = new_secret()
        with self._store.begin() as tx:
            if operates and tx.tenants().get(tenant_id).name != DEFAULT:
                raise Invalid(f"a key of scope '{scope}' can only be made in tenant '{DEFAULT}'")
            return self._add(tx, tenant_id, name, scope, expires_at, secret), secret

    def list_keys(self, tenant_id: str, page: PageRequest) -> Page[ApiKey]:
        """The tenant's keys, newest first."""
        with self._store.read() as tx:
            return tx.keys(tenant_id).list(page)

    def key(self, tenant_id: str, key_id: str) -> ApiKey:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.keys(tenant_id).get(key_id)

    def revoke_key(self, tenant_id: str, key_id: str) -> ApiKey:
        """Revoke a key: in force in every gateway within a second.

        Raises:
            NotFound: the tenant has no such key.
        """
        with self._store.begin() as tx:
            key = tx.keys(tenant_id).revoke(key_id, self._clock.now())
            tx.bump()
            return key

    def _add(
        self,
        tx: TenancyTransaction,
        tenant_id: str,
        name: str,
        scope: str,
        expires_at: datetime | None,
        secret: str,
    ) -> ApiKey:
        key = ApiKey(
            id=ids.new_id(ids.KEY),
            tenant_id=tenant_id,
            name=name,
            scope=scope,
            hash=hash_secret(secret.encode(), self._pepper),
            hint=hint_of(secret),
            created_at=self._clock.now(),
            expires_at=expires_at,
        )
        tx.keys(tenant_id).add(key)
        tx.bump()
        return key


def _check_operator_key(secret: str) -> None:
    if not _OPERATOR_KEY.fullmatch(secret) or len(set(secret)) < 10:
        raise Invalid(
            f"MODELYARD_ADMIN_KEY is too weak or cannot be sent: it needs {MIN_OPERATOR_KEY} to "
            f"{MAX_KEY} printable ASCII characters without spaces, 10 of them different; leave "
            "it unset to have one made"
        )
