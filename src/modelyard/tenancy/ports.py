"""What this room needs from the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from modelyard.core.access import Role
from modelyard.core.events import PredictionMade
from modelyard.core.pages import Page, PageRequest
from modelyard.tenancy.key import ApiKey
from modelyard.tenancy.listing import Listing, Subscription
from modelyard.tenancy.quota import Alert, Quota
from modelyard.tenancy.tenant import Tenant
from modelyard.tenancy.user import Failures, Member, User


class TenantRepository(Protocol):
    """All tenants; for the operator."""

    def add(self, tenant: Tenant) -> None:
        """Raises Conflict when the name is taken."""
        ...

    def named(self, name: str) -> Tenant:
        """Raises NotFound."""
        ...

    def get(self, tenant_id: str) -> Tenant:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[Tenant]:
        """Oldest first."""
        ...

    def ids(self) -> Sequence[str]:
        """Of all of them."""
        ...


class KeyRepository(Protocol):
    """The keys of one tenant."""

    def add(self, key: ApiKey) -> None:
        """Raises Conflict when another key has this hash."""
        ...

    def get(self, key_id: str) -> ApiKey:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[ApiKey]:
        """Newest first, revoked ones included, logins left out."""
        ...

    def rotate(self, key: ApiKey) -> None:
        """Keep the key's secrets and its hint as they are now. Raises NotFound."""
        ...

    def revoke(self, key_id: str, at: datetime) -> ApiKey:
        """Set `revoked_at` unless it is set. Raises NotFound."""
        ...


class QuotaRepository(Protocol):
    """The quotas of one tenant, and what was told of them."""

    def put(self, quota: Quota) -> Quota:
        """Keep it; returns it as it is kept.

        In place of the one of the same key, measure, period and imposer, if there is one: that
        keeps its id, its zone, and what is known of it. Raises Conflict when there are too many.
        """
        ...

    def get(self, quota_id: str) -> Quota:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[Quota]:
        """Newest first."""
        ...

    def remove(self, quota_id: str) -> None:
        """Forget it; the alerts stay. Raises NotFound."""
        ...

    def spent(self, quota_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Of those budgets that have any: the beginning of the latest period, and what was spent
        in it.
        """
        ...

    def alerts(self, page: PageRequest) -> Page[Alert]:
        """Newest first."""
        ...


class Spending(NamedTuple):
    """What was spent of a budget, in the period that began at `since`. `told` is what is known
    of it by now: how many of an alert's kinds.
    """

    quota: Quota
    since: int
    spent: int
    told: int


class BudgetRepository(Protocol):
    """The budgets of all tenants; for the controller."""

    def all(self) -> list[Quota]:
        """All quotas of all tenants, limits too."""
        ...

    def callers(self) -> list[str]:
        """Ids of all tenants: each may be one that calls a deployment."""
        ...

    def unopened(self) -> list[Quota]:
        """Those of which nobody knows what was spent before they were set."""
        ...

    def spent(self, quota: Quota, since: int, until: int) -> int:
        """What requests that began in [since, until) have cost, by the ledger."""
        ...

    def open(self, quota_id: str, since: int, spent: int) -> None:
        """Keep what was spent of its present period; from now on `charge` goes on counting."""
        ...

    def charge(self, events: Sequence[PredictionMade]) -> None:
        """Count what these requests have cost, in the period in which each began."""
        ...

    def spending(self) -> list[Spending]:
        """What was spent of each budget in its latest period."""
        ...

    def tell(self, alert: Alert, told: int) -> None:
        """Keep an alert."""
        ...


class BudgetTransaction(Protocol):
    """A transaction over all budgets."""

    def budgets(self) -> BudgetRepository: ...

    def bump(self) -> None:
        """Tell every gateway, once this commits."""
        ...


class TenancyTransaction(Protocol):
    """A transaction over tenants and keys."""

    def tenants(self) -> TenantRepository: ...

    def keys(self, tenant_id: str) -> KeyRepository: ...

    def bump(self) -> None:
        """Tell every gateway that keys or routes have changed, once this commits."""
        ...


class ListingRepository(Protocol):
    """What one tenant offers."""

    def deployment_id(self, name: str) -> str:
        """The id of the tenant's own deployment. Raises NotFound."""
        ...

    def find(self, deployment: str) -> Listing | None:
        """The offer of this deployment, if there is one."""
        ...

    def list(self, page: PageRequest) -> Page[Listing]:
        """By deployment."""
        ...

    def put(self, listing: Listing) -> None:
        """Insert, or replace the one with the same id."""
        ...

    def delete(self, deployment: str) -> None:
        """Raises NotFound."""
        ...


class CatalogueRepository(Protocol):
    """What other tenants offer to one tenant."""

    def get(self, publisher: str, deployment: str) -> Listing:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[Listing]:
        """Oldest first."""
        ...


class SubscriptionRepository(Protocol):
    """What one tenant has taken."""

    def get(self, name: str) -> Subscription:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[Subscription]:
        """By name."""
        ...

    def add(self, subscription: Subscription) -> None:
        """Raises Conflict when the tenant has a subscription or a deployment of this name."""
        ...

    def delete(self, name: str) -> None:
        """Raises NotFound."""
        ...


class CatalogueTransaction(Protocol):
    """A transaction over the catalogue."""

    def tenants(self) -> TenantRepository: ...

    def listings(self, tenant_id: str) -> ListingRepository: ...

    def catalogue(self, tenant_id: str) -> CatalogueRepository: ...

    def subscriptions(self, tenant_id: str) -> SubscriptionRepository: ...

    def bump(self) -> None:
        """Tell every gateway that keys or routes have changed, once this commits."""
        ...


class PasswordHasher(Protocol):
    """Slow hashes of passwords, on purpose."""

    def hash(self, password: str) -> str:
        """The hash, with its salt and parameters."""
        ...

    def verify(self, encoded: str | None, password: str) -> bool:
        """Whether it is the password. None is never, and takes the same time."""
        ...


class UserRepository(Protocol):
    """All people, and what is counted of their logins."""

    def add(self, user: User) -> None:
        """Raises Conflict when the name is taken."""
        ...

    def put(self, user: User) -> None:
        """Replace the one with the same id."""
        ...

    def get(self, user_id: str) -> User:
        """Raises NotFound."""
        ...

    def named(self, name: str) -> User:
        """Raises NotFound."""
        ...

    def find(self, name: str) -> User | None:
        """The same without the error."""
        ...

    def invited(self, invitation: bytes) -> User | None:
        """Whose invitation this is the hash of."""
        ...

    def list(self, page: PageRequest) -> Page[User]:
        """Oldest first."""
        ...

    def delete(self, user_id: str) -> None:
        """With all memberships."""
        ...

    def places(self, user_id: str) -> Sequence[tuple[str, str, Role]]:
        """The person's tenants: id, name and role."""
        ...

    def revoke_logins(self, user_id: str, at: datetime) -> None:
        """End the person's logins, in all tenants."""
        ...

    def forget_logins(self, before: datetime) -> int:
        """Delete those that ended at this time or before, by themselves or not; return how many."""
        ...

    def failures(self, subject: str) -> Failures | None:
        """The logins that have failed in a row."""
        ...

    def failed(self, subject: str, at: datetime) -> None:
        """Count one more; those of a day ago and before do not count."""
        ...

    def forgive(self, subject: str) -> None:
        """Begin to count anew."""
        ...

    def forget_failures(self, before: datetime) -> int:
        """Delete those of which the last was at this time or before; return how many."""
        ...


class MemberRepository(Protocol):
    """The members of one tenant."""

    def find(self, name: str) -> Member | None:
        """The member of this name, if there is one."""
        ...

    def list(self, page: PageRequest) -> Page[Member]:
        """By name."""
        ...

    def put(self, member: Member) -> None:
        """Insert, or replace the role."""
        ...

    def delete(self, user_id: str) -> None:
        """Take a member out; one that is none is no error."""
        ...

    def revoke_logins(self, user_id: str, at: datetime) -> None:
        """End the person's logins to this tenant."""
        ...


class PeopleTransaction(Protocol):
    """A transaction over people."""

    def tenants(self) -> TenantRepository: ...

    def users(self) -> UserRepository: ...

    def members(self, tenant_id: str) -> MemberRepository: ...

    def keys(self, tenant_id: str) -> KeyRepository: ...

    def bump(self) -> None:
        """Tell every gateway that keys or routes have changed, once this commits."""
        ...
