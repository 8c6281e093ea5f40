"""Tenants and keys: use cases."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from modelyard.core import ids
from modelyard.core.access import Scope
from modelyard.core.clock import Clock
from modelyard.core.errors import Invalid, NotFound
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

    def create_key(
        self,
        tenant_id: str,
        name: str,
        scope: Scope,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; the second value is the key itself, which is never to be seen again.

        Raises:
            Invalid: the name is empty or too long, or the expiry has passed.
        """
        name = name.strip()
        if not 1 <= len(name) <= MAX_KEY_NAME or not name.isprintable():
            raise Invalid(f"a key's name must be 1 to {MAX_KEY_NAME} printable characters")
        if expires_at is not None and expires_at <= self._clock.now():
            raise Invalid(f"expires_at {expires_at.isoformat()} has already passed")
        secret = new_secret()
        with self._store.begin() as tx:
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
        scope: Scope,
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
