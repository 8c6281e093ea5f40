"""What tenants offer each other."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from modelyard.adapters.memory.deployments import MemoryDeployments
from modelyard.adapters.memory.state import State, cut
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.tenancy.listing import Listing, Subscription


def offered(state: State, listing_id: str, tenant_id: str) -> Listing | None:
    """The listing, if it stands and is offered to the tenant."""
    listing = state.listings.get(listing_id)
    if listing is None:
        return None
    name = next(tenant.name for tenant in state.tenants.values() if tenant.id == tenant_id)
    return listing if listing.terms.public or name in listing.terms.shared_with else None


class MemoryListings:
    """What one tenant offers."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def deployment_id(self, name: str) -> str:
        return MemoryDeployments(self._state, self._tenant_id).get(name).id

    def find(self, deployment: str) -> Listing | None:
        return next((each for each in self._own() if each.deployment == deployment), None)

    def list(self, page: PageRequest) -> Page[Listing]:
        return cut(self._own(), page, lambda listing: listing.deployment)

    def put(self, listing: Listing) -> None:
        terms = replace(listing.terms, shared_with=tuple(sorted(set(listing.terms.shared_with))))
        present = self.find(listing.deployment)
        if present is not None and present.id != listing.id:
            raise Conflict(f"deployment '{listing.deployment}' is offered already")
        self._state.listings[listing.id] = replace(listing, terms=terms, tenant_id=self._tenant_id)

    def delete(self, deployment: str) -> None:
        found = self.find(deployment)
        if found is None:
            raise NotFound(f"deployment '{deployment}' is not offered")
        del self._state.listings[found.id]

    def _own(self) -> Sequence[Listing]:
        mine = self._state.listings.values()
        return [listing for listing in mine if listing.tenant_id == self._tenant_id]


class MemoryCatalogue:
    """What other tenants offer to one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def get(self, publisher: str, deployment: str) -> Listing:
        for listing in self._offers():
            if (listing.publisher, listing.deployment) == (publisher, deployment):
                return listing
        raise NotFound(f"there is no '{publisher}/{deployment}' in the catalogue")

    def list(self, page: PageRequest) -> Page[Listing]:
        return cut(self._offers(), page, lambda listing: listing.id)

    def _offers(self) -> Sequence[Listing]:
        return [
            replace(listing, terms=replace(listing.terms, shared_with=()))
            for listing in self._state.listings.values()
            if listing.tenant_id != self._tenant_id
            and offered(self._state, listing.id, self._tenant_id)
        ]


class MemorySubscriptions:
    """What one tenant has taken."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def get(self, name: str) -> Subscription:
        try:
            return self._seen(self._state.subscriptions[self._tenant_id, name])
        except KeyError:
            raise NotFound(f"there is no subscription '{name}'") from None

    def list(self, page: PageRequest) -> Page[Subscription]:
        own = (
            self._seen(subscription)
            for (tenant_id, _), subscription in self._state.subscriptions.items()
            if tenant_id == self._tenant_id
        )
        return cut(own, page, lambda subscription: subscription.name)

    def add(self, subscription: Subscription) -> None:
        if MemoryDeployments(self._state, self._tenant_id).find(subscription.name) is not None:
            raise Conflict(f"there is a deployment '{subscription.name}' already")
        at = (self._tenant_id, subscription.name)
        if at in self._state.subscriptions:
            raise Conflict(f"there is a subscription '{subscription.name}' already")
        self._state.subscriptions[at] = replace(subscription, tenant_id=self._tenant_id)

    def delete(self, name: str) -> None:
        self.get(name)
        del self._state.subscriptions[self._tenant_id, name]

    def _seen(self, subscription: Subscription) -> Subscription:
        listing = offered(self._state, subscription.listing_id, self._tenant_id)
        return replace(subscription, offered=listing is not None)
