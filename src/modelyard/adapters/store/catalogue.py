"""What tenants offer each other."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    insert,
    or_,
    select,
)

from modelyard.adapters.store.tables import (
    deployments,
    listing_shares,
    listings,
    subscriptions,
    tenants,
)
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.tenancy.listing import Listing, Subscription, Terms

_LISTINGS: Final = (
    select(
        listings,
        tenants.c.name.label("publisher"),
        deployments.c.name.label("deployment"),
    )
    .join(tenants, tenants.c.id == listings.c.tenant_id)
    .join(
        deployments,
        and_(
            deployments.c.id == listings.c.deployment_id,
            deployments.c.tenant_id == listings.c.tenant_id,
        ),
    )
)
_SUBSCRIPTION: Final = tuple(
    subscriptions.c[name] for name in Subscription.__struct_fields__ if name != "offered"
)


def offered_to(name: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a listing is offered to the tenant of this name."""
    shared = exists().where(
        listing_shares.c.listing_id == listings.c.id, listing_shares.c.consumer == name
    )
    return or_(listings.c.public, shared)


def _listing_of(row: Row[Any], shares: list[str]) -> Listing:
    terms = Terms(row.description, row.terms, row.examples, row.public, tuple(shares))
    return Listing(
        row.id,
        row.tenant_id,
        row.publisher,
        row.deployment_id,
        row.deployment,
        terms,
        row.created_at,
        row.updated_at,
    )


class SqlListings(TenantRows):
    """What one tenant offers."""

    def deployment_id(self, name: str) -> str:
        statement = self._select(deployments, deployments.c.id).where(deployments.c.name == name)
        found: str | None = self._connection.execute(statement).scalar_one_or_none()
        if found is None:
            raise NotFound(f"there is no deployment '{name}'")
        return found

    def find(self, deployment: str) -> Listing | None:
        row = self._connection.execute(
            self._all().where(deployments.c.name == deployment)
        ).one_or_none()
        return None if row is None else self._whole(row)

    def list(self, page: PageRequest) -> Page[Listing]:
        statement = self._all().order_by(deployments.c.name).limit(page.limit + 1)
        if page.after is not None:
            statement = statement.where(deployments.c.name > page.after)
        found = [self._whole(row) for row in self._connection.execute(statement).all()]
        return Page.cut(found, page, lambda listing: listing.deployment)

    def put(self, listing: Listing) -> None:
        values = {
            "description": listing.terms.description,
            "terms": listing.terms.terms,
            "examples": listing.terms.examples,
            "public": listing.terms.public,
            "created_at": listing.created_at,
            "updated_at": listing.updated_at,
        }
        mine = self._update(listings).where(listings.c.id == listing.id)
        if not self._connection.execute(mine.values(values)).rowcount:
            added = {"id": listing.id, "deployment_id": listing.deployment_id, **values}
            if not self._added(listings, **added):
                raise Conflict(f"deployment '{listing.deployment}' is offered already")
        self._connection.execute(
            delete(listing_shares).where(listing_shares.c.listing_id == listing.id)
        )
        names = sorted(set(listing.terms.shared_with))
        if names:
            shares = [{"listing_id": listing.id, "consumer": name} for name in names]
            self._connection.execute(insert(listing_shares), shares)

    def delete(self, deployment: str) -> None:
        found = self.find(deployment)
        if found is None:
            raise NotFound(f"deployment '{deployment}' is not offered")
        self._connection.execute(self._delete(listings).where(listings.c.id == found.id))

    def _all(self) -> Select[Any]:
        return _LISTINGS.where(self._own(listings))

    def _whole(self, row: Row[Any]) -> Listing:
        shares = select(listing_shares.c.consumer).where(listing_shares.c.listing_id == row.id)
        ordered = shares.order_by(listing_shares.c.consumer)
        return _listing_of(row, list(self._connection.execute(ordered).scalars()))


class SqlCatalogue:
    """What other tenants offer to one tenant. With whom else they share it is not its business."""

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    def get(self, publisher: str, deployment: str) -> Listing:
        row = self._connection.execute(
            self._offers().where(tenants.c.name == publisher, deployments.c.name == deployment)
        ).one_or_none()
        if row is None:
            raise NotFound(f"there is no '{publisher}/{deployment}' in the catalogue")
        return _listing_of(row, [])

    def list(self, page: PageRequest) -> Page[Listing]:
        statement = self._offers().order_by(listings.c.id).limit(page.limit + 1)
        if page.after is not None:
            statement = statement.where(listings.c.id > page.after)
        found = [_listing_of(row, []) for row in self._connection.execute(statement)]
        return Page.cut(found, page, lambda listing: listing.id)

    def _offers(self) -> Select[Any]:
        asking = tenants.alias("asking")
        name = select(asking.c.name).where(asking.c.id == self._tenant_id).scalar_subquery()
        return _LISTINGS.where(listings.c.tenant_id != self._tenant_id, offered_to(name))


class SqlSubscriptions(TenantRows):
    """What one tenant has taken."""

    def get(self, name: str) -> Subscription:
        row = self._connection.execute(
            self._all().where(subscriptions.c.name == name)
        ).one_or_none()
        if row is None:
            raise NotFound(f"there is no subscription '{name}'")
        return Subscription(*row)

    def list(self, page: PageRequest) -> Page[Subscription]:
        statement = self._all().order_by(subscriptions.c.name).limit(page.limit + 1)
        if page.after is not None:
            statement = statement.where(subscriptions.c.name > page.after)
        found = [Subscription(*row) for row in self._connection.execute(statement)]
        return Page.cut(found, page, lambda subscription: subscription.name)

    def add(self, subscription: Subscription) -> None:
        taken = self._select(deployments, deployments.c.id).where(
            deployments.c.name == subscription.name
        )
        values = {
            name: getattr(subscription, name)
            for name in Subscription.__struct_fields__
            if name not in ("tenant_id", "offered")
        }
        if self._connection.execute(taken).first() is not None:
            raise Conflict(f"there is a deployment '{subscription.name}' already")
        if not self._added(subscriptions, **values):
            raise Conflict(f"there is a subscription '{subscription.name}' already")

    def delete(self, name: str) -> None:
        deleted = self._connection.execute(
            self._delete(subscriptions).where(subscriptions.c.name == name)
        )
        if deleted.rowcount == 0:
            raise NotFound(f"there is no subscription '{name}'")

    def _all(self) -> Select[Any]:
        offered = exists().where(
            listings.c.id == subscriptions.c.listing_id, offered_to(tenants.c.name)
        )
        statement = self._select(subscriptions, *_SUBSCRIPTION, offered.label("offered"))
        return statement.join(tenants, tenants.c.id == subscriptions.c.tenant_id)
