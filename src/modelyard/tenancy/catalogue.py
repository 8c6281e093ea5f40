"""Offering deployments to other tenants, and taking up what they offer: use cases."""

from __future__ import annotations

import msgspec

from modelyard.core import ids
from modelyard.core.clock import Clock
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.tenancy.listing import Listing, Subscription, Terms
from modelyard.tenancy.ports import CatalogueTransaction


class CatalogueService:
    """The catalogue. Whatever changes in it is in force in every gateway within a second; a
    request that is being answered by then is still answered.
    """

    def __init__(self, store: Store[CatalogueTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def publish(self, tenant_id: str, deployment: str, terms: Terms) -> tuple[Listing, bool]:
        """Offer a deployment, or change how it is offered; True when the offer is new.

        Subscribers stay, but for those to whom it is not offered any more. The tenants that are
        named need not exist: nobody learns here who does.

        Raises:
            NotFound: the tenant has no such deployment.
            Invalid: something is over its bound, or it is offered to nobody.
        """
        terms.check()
        for name in terms.shared_with:
            check_name("tenant", name)
        with self._store.begin() as tx:
            publisher = tx.tenants().get(tenant_id).name
            listings = tx.listings(tenant_id)
            deployment_id = listings.deployment_id(deployment)
            now, present = self._clock.now(), listings.find(deployment)
            if present is None:
                listing = Listing(
                    ids.new_id(ids.LISTING),
                    tenant_id,
                    publisher,
                    deployment_id,
                    deployment,
                    terms,
                    now,
                    now,
                )
            else:
                listing = msgspec.structs.replace(present, terms=terms, updated_at=now)
            listings.put(listing)
            tx.bump()
        return listing, present is None

    def withdraw(self, tenant_id: str, deployment: str) -> None:
        """Offer it no more: its subscribers lose it. Raises NotFound."""
        with self._store.begin() as tx:
            tx.listings(tenant_id).delete(deployment)
            tx.bump()

    def listing(self, tenant_id: str, deployment: str) -> Listing:
        """How the tenant offers the deployment. Raises NotFound."""
        with self._store.read() as tx:
            found = tx.listings(tenant_id).find(deployment)
        if found is None:
            raise NotFound(f"deployment '{deployment}' is not offered")
        return found

    def listings(self, tenant_id: str, page: PageRequest) -> Page[Listing]:
        """What the tenant offers, by deployment."""
        with self._store.read() as tx:
            return tx.listings(tenant_id).list(page)

    def offers(self, tenant_id: str, page: PageRequest) -> Page[Listing]:
        """What is offered to the tenant, oldest first. Its own offers are not among these."""
        with self._store.read() as tx:
            return tx.catalogue(tenant_id).list(page)

    def offer(self, tenant_id: str, publisher: str, deployment: str) -> Listing:
        """What is offered to the tenant under these names.

        Raises:
            NotFound: nothing, or not to this tenant: the two look the same.
        """
        with self._store.read() as tx:
            return tx.catalogue(tenant_id).get(publisher, deployment)

    def subscribe(
        self, tenant_id: str, publisher: str, deployment: str, name: str, terms: str
    ) -> Subscription:
        """Take an offer, to call it by `name`. `terms` is the text that the subscriber agrees to.

        Raises:
            NotFound: nothing like that is offered to the tenant.
            Invalid: not a name.
            Conflict: the name is in use, or the terms are others by now.
        """
        check_name("deployment", name)
        with self._store.begin() as tx:
            listing = tx.catalogue(tenant_id).get(publisher, deployment)
            if terms != listing.terms.terms:
                raise Conflict(
                    f"the terms of {publisher}/{deployment} are others than those agreed to: read "
                    "them, and send their text as 'terms'"
                )
            subscription = Subscription(
                ids.new_id(ids.SUBSCRIPTION),
                tenant_id,
                name,
                listing.id,
                publisher,
                deployment,
                terms,
                self._clock.now(),
            )
            tx.subscriptions(tenant_id).add(subscription)
            tx.bump()
        return subscription

    def unsubscribe(self, tenant_id: str, name: str) -> None:
        """Give it up. Raises NotFound."""
        with self._store.begin() as tx:
            tx.subscriptions(tenant_id).delete(name)
            tx.bump()

    def subscription(self, tenant_id: str, name: str) -> Subscription:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.subscriptions(tenant_id).get(name)

    def subscriptions(self, tenant_id: str, page: PageRequest) -> Page[Subscription]:
        """What the tenant has taken, by name."""
        with self._store.read() as tx:
            return tx.subscriptions(tenant_id).list(page)
