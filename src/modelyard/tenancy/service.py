"""Tenants and keys: use cases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from modelyard.core import ids
from modelyard.core.access import Grant, Permission, Scope, covers, permissions_of
from modelyard.core.addresses import covered, parse_networks
from modelyard.core.clock import Clock
from modelyard.core.errors import Conflict, Forbidden, Invalid, NotFound
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.tenancy.key import (
    MAX_BOUNDS,
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
MAX_OVERLAP: Final = timedelta(days=30)
"""How long a secret may outlive its rotation."""

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
            self._add(tx, tenant.id, secret, name="operator", scope=Scope.ADMIN)
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

    def name_of(self, tenant_id: str) -> str:
        """The tenant's name. Raises NotFound."""
        with self._store.read() as tx:
            return tx.tenants().get(tenant_id).name

    def act(self, grant: Grant, name: str) -> Grant:
        """The caller's grant within the tenant of this name. Raises NotFound as `tenant` does."""
        return msgspec.structs.replace(grant, tenant_id=self.tenant(grant, name).id)

    def create_key(
        self,
        tenant_id: str,
        name: str,
        scope: str,
        expires_at: datetime | None = None,
        *,
        deployments: Sequence[str] | None = None,
        networks: Sequence[str] | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; the second value is the key itself, which is never to be seen again.

        With `deployments` it calls those alone, whether there are such or not; with `networks`
        (CIDR) it is good for callers in those alone.

        Raises:
            Invalid: the name is empty or too long, there is no such scope, the expiry has passed,
                or the operator's scope is asked for in a tenant that is not the operator's.
        """
        name = name.strip()
        if not 1 <= len(name) <= MAX_KEY_NAME or not name.isprintable():
            raise Invalid(f"a key's name must be 1 to {MAX_KEY_NAME} printable characters")
        if expires_at is not None and expires_at <= self._clock.now():
            raise Invalid(f"expires_at {expires_at.isoformat()} has already passed")
        _check_bounds(deployments, networks)
        operates = Permission.OPERATE in permissions_of(scope)
        secret = new_secret()
        with self._store.begin() as tx:
            if operates and tx.tenants().get(tenant_id).name != DEFAULT:
                raise Invalid(f"a key of scope '{scope}' can only be made in tenant '{DEFAULT}'")
            key = self._add(
                tx,
                tenant_id,
                secret,
                name=name,
                scope=scope,
                expires_at=expires_at,
                deployments=None if deployments is None else tuple(sorted(set(deployments))),
                networks=None if networks is None else parse_networks(networks),
            )
        return key, secret

    def create_bounded_key(
        self,
        maker: Grant,
        name: str,
        scope: str,
        expires_at: datetime | None,
        *,
        deployments: Sequence[str] | None,
        networks: Sequence[str] | None,
    ) -> tuple[ApiKey, str]:
        """Make a key as `create_key` does, by somebody who can give away no more than they have.

        What the maker is bound to binds the new key too, unless it is bound more closely.

        Raises:
            Forbidden: it would reach further than its maker. The rest as `create_key`.
        """
        if maker.deployments is not None and deployments is None:
            deployments = sorted(maker.deployments)
        if maker.networks and networks is None:
            networks = maker.networks
        _check_maker(maker, scope, deployments, networks)
        return self.create_key(
            maker.tenant_id, name, scope, expires_at, deployments=deployments, networks=networks
        )

    def list_keys(self, tenant_id: str, page: PageRequest) -> Page[ApiKey]:
        """The tenant's keys, newest first."""
        with self._store.read() as tx:
            return tx.keys(tenant_id).list(page)

    def key(self, tenant_id: str, key_id: str) -> ApiKey:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.keys(tenant_id).get(key_id)

    def rotate_key(self, maker: Grant, key_id: str, overlap: timedelta) -> tuple[ApiKey, str]:
        """Give the key a new secret, which is the second value; it stays the same key.

        The secret that it has had is good for `overlap` longer; one of an earlier rotation ends at
        once.

        Raises:
            NotFound: the tenant has no such key.
            Forbidden: the key reaches further than whoever would have its secret.
            Invalid: the overlap is negative or over `MAX_OVERLAP`.
            Conflict: it is revoked or has expired.
        """
        if not timedelta() <= overlap <= MAX_OVERLAP:
            raise Invalid(f"the overlap must be between 0 and {MAX_OVERLAP.days} days")
        secret, now = new_secret(), self._clock.now()
        with self._store.begin() as tx:
            keys = tx.keys(maker.tenant_id)
            key = keys.get(key_id)
            _check_maker(maker, key.scope, key.deployments, key.networks)
            if key.revoked_at is not None or (key.expires_at and key.expires_at <= now):
                raise Conflict(f"key '{key_id}' is not in force any more: make another")
            key = msgspec.structs.replace(
                key,
                hash=hash_secret(secret.encode(), self._pepper),
                hint=hint_of(secret),
                former_hash=key.hash if overlap else None,
                former_until=now + overlap if overlap else None,
            )
            keys.rotate(key)
            tx.bump()
        return key, secret

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
        secret: str,
        *,
        name: str,
        scope: str,
        expires_at: datetime | None = None,
        deployments: tuple[str, ...] | None = None,
        networks: tuple[str, ...] | None = None,
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
            deployments=deployments,
            networks=networks,
        )
        tx.keys(tenant_id).add(key)
        tx.bump()
        return key


def _check_maker(
    maker: Grant,
    scope: str,
    deployments: Sequence[str] | None,
    networks: Sequence[str] | None,
) -> None:
    """Raises Forbidden when such a key would reach further than who is to have its secret."""
    covers(maker, scope)
    if maker.deployments is not None and not maker.deployments.issuperset(deployments or ("",)):
        raise Forbidden("a key that is bound to deployments makes keys for these alone")
    inside = networks is not None and covered(parse_networks(networks), maker.networks)
    if maker.networks and not inside:
        raise Forbidden("a key that is bound to networks makes keys for these alone")


def _check_bounds(deployments: Sequence[str] | None, networks: Sequence[str] | None) -> None:
    for what, bounds in (("deployments", deployments), ("networks", networks)):
        if bounds is not None and not 1 <= len(bounds) <= MAX_BOUNDS:
            raise Invalid(f"'{what}' of a key are 1 to {MAX_BOUNDS}, or left out")
    for name in deployments or ():
        check_name("deployment", name)


def _check_operator_key(secret: str) -> None:
    if not _OPERATOR_KEY.fullmatch(secret) or len(set(secret)) < 10:
        raise Invalid(
            f"MODELYARD_ADMIN_KEY is too weak or cannot be sent: it needs {MIN_OPERATOR_KEY} to "
            f"{MAX_KEY} printable ASCII characters without spaces, 10 of them different; leave "
            "it unset to have one made"
        )
