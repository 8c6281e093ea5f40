"""Who is calling, and what they may do.

What a role or a named scope holds is the data below; whether a caller may do something is asked
of `require` and `covers`, at every edge and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from modelyard.core.errors import Forbidden, Invalid


class Permission(StrEnum):
    """One thing that a caller may do, within one tenant. `operate` reaches over all of them."""

    INFER = "infer"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_WRITE = "deployments:write"
    CATALOGUE_READ = "catalogue:read"
    CATALOGUE_PUBLISH = "catalogue:publish"
    CATALOGUE_SUBSCRIBE = "catalogue:subscribe"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    QUOTAS_READ = "quotas:read"
    QUOTAS_WRITE = "quotas:write"
    PRICES_READ = "prices:read"
    PRICES_WRITE = "prices:write"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"
    METRICS_READ = "metrics:read"
    AUDIT_READ = "audit:read"
    OPERATE = "operate"


Permissions = frozenset[Permission]

TENANTS_OWN: Final[Permissions] = frozenset(Permission) - {Permission.OPERATE}
"""All that can be done within one tenant."""
READING: Final[Permissions] = frozenset(each for each in Permission if each.endswith(":read"))


class Role(StrEnum):
    """What a member is in a tenant."""

    OWNER = "owner"
    PUBLISHER = "publisher"
    CONSUMER = "consumer"
    ACCOUNTANT = "accountant"
    AUDITOR = "auditor"

    @property
    def permissions(self) -> Permissions:
        """What members of this role may do."""
        return ROLES[self]

    @property
    def scope(self) -> str:
        """The same as a scope."""
        return " ".join(sorted(ROLES[self]))


ROLES: Final[Mapping[Role, Permissions]] = {
    Role.OWNER: TENANTS_OWN,
    Role.PUBLISHER: frozenset(
        {
            Permission.INFER,
            Permission.MODELS_READ,
            Permission.MODELS_WRITE,
            Permission.DEPLOYMENTS_READ,
            Permission.DEPLOYMENTS_WRITE,
            Permission.CATALOGUE_READ,
            Permission.CATALOGUE_PUBLISH,
            Permission.CATALOGUE_SUBSCRIBE,
            Permission.KEYS_READ,
            Permission.QUOTAS_READ,
            Permission.PRICES_READ,
            Permission.PRICES_WRITE,
            Permission.BILLING_READ,
            Permission.METRICS_READ,
        }
    ),
    Role.CONSUMER: frozenset(
        {
            Permission.INFER,
            Permission.DEPLOYMENTS_READ,
            Permission.CATALOGUE_READ,
            Permission.CATALOGUE_SUBSCRIBE,
            Permission.PRICES_READ,
            Permission.QUOTAS_READ,
        }
    ),
    Role.ACCOUNTANT: frozenset(
        {
            Permission.CATALOGUE_READ,
            Permission.PRICES_READ,
            Permission.BILLING_READ,
            Permission.BILLING_WRITE,
            Permission.QUOTAS_READ,
            Permission.QUOTAS_WRITE,
        }
    ),
    Role.AUDITOR: READING,
}


class Scope(StrEnum):
    """The scopes that have a name of their own. Each holds the ones before it."""

    INFER = "infer"
    MANAGE = "manage"
    ADMIN = "admin"


SCOPES: Final[Mapping[str, Permissions]] = {
    **{each.value: frozenset({each}) for each in Permission if each is not Permission.OPERATE},
    Scope.INFER.value: frozenset({Permission.INFER}),
    Scope.MANAGE.value: TENANTS_OWN,
    Scope.ADMIN.value: frozenset(Permission),
}
"""The words of a scope, and what each one allows."""

MAX_SCOPE: Final = 400
"""Characters of a scope: more than all its words together take."""


@lru_cache(maxsize=1024)
def permissions_of(scope: str) -> Permissions:
    """What a scope allows: words with spaces between, as in RFC 6749, section 3.3.

    Raises:
        Invalid: there is no such word, or none at all.
    """
    words = scope.split()
    unknown = [word for word in words if word not in SCOPES]
    if unknown or not words:
        said = f"there is no scope '{unknown[0][:40]}'" if unknown else "a scope is needed"
        raise Invalid(f"{said}: expected one or more of {', '.join(SCOPES)}")
    return frozenset().union(*(SCOPES[word] for word in words))


class Grant(msgspec.Struct, frozen=True):
    """What a presented key stands for, once it has been recognised.

    `deployments` are those that it may call, if they are bounded; `networks` (CIDR) are where it
    may be used from, if that is. `permissions` follows from `scope`. `user_id` is set where a
    person has logged in.
    """

    key_id: str
    tenant_id: str
    scope: str
    deployments: frozenset[str] | None = None
    networks: tuple[str, ...] = ()
    user_id: str = ""
    permissions: Permissions = frozenset()

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "permissions", permissions_of(self.scope))

    def reaches(self, deployment: str) -> bool:
        """Whether it may call the deployment of this name."""
        return self.deployments is None or deployment in self.deployments


class Visitor(msgspec.Struct, frozen=True):
    """Whoever asks without a key, where that is allowed: to log in. `address` is where from."""

    address: str = ""


def require(grant: Grant, needed: Permission) -> None:
    """Raises Forbidden when the grant does not hold the permission."""
    if needed not in grant.permissions:
        raise Forbidden(f"this key has scope '{grant.scope}', this needs '{needed}'")


def covers(grant: Grant, scope: str) -> None:
    """Raises Forbidden when the scope holds what the grant does not: nobody gives away more than
    they have.
    """
    beyond = permissions_of(scope) - grant.permissions
    if beyond:
        raise Forbidden(f"this key has scope '{grant.scope}', which does not hold '{min(beyond)}'")
