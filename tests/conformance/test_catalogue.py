from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from modelyard.adapters.memory import MemoryControlPlane
from modelyard.adapters.store import SqlControlPlane
from modelyard.core import ids
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import PageRequest
from modelyard.deployment.deployment import Deployment
from modelyard.serving.ports import WantedName
from modelyard.tenancy.listing import Listing, Subscription, Terms
from tests.conformance.samples import OURS, START, THEIRS, a_deployment
from tests.conformance.stores import AnyStore

PUBLIC = Terms("What it does", "Be kind.", ({"instances": [{"age": 1}]}, "text"), public=True)
SHARED = Terms(shared_with=("nobody", "theirs"))
OTHERS = Terms(shared_with=("nobody",))


def deploy(store: AnyStore, name: str = "churn", tenant_id: str = OURS) -> Deployment:
    deployment = a_deployment(name, tenant_id)
    with store.begin() as tx:
        tx.deployments(tenant_id).put(deployment)
    return deployment


def offer(store: AnyStore, deployment: Deployment, terms: Terms = PUBLIC) -> Listing:
    listing = Listing(
        ids.new_id(ids.LISTING), OURS, "ours", deployment.id, deployment.name, terms, START, START
    )
    with store.begin() as tx:
        tx.listings(OURS).put(listing)
    return listing


def take(store: AnyStore, listing: Listing, name: str = "local") -> Subscription:
    taken = Subscription(
        ids.new_id(ids.SUBSCRIPTION), THEIRS, name, listing.id, "ours", "churn", "Be kind.", START
    )
    with store.begin() as tx:
        tx.subscriptions(THEIRS).add(taken)
    return taken


def test_an_offer_comes_back_as_it_was_put(store: AnyStore) -> None:
    listing = offer(store, deploy(store), replace(PUBLIC, shared_with=("theirs", "a", "theirs")))
    with store.read() as tx:
        kept = replace(listing, terms=replace(listing.terms, shared_with=("a", "theirs")))
        assert tx.listings(OURS).find("churn") == kept
        assert tx.listings(OURS).list(PageRequest()).items == [kept]
        assert tx.listings(OURS).find("other") is None
        assert tx.listings(THEIRS).find("churn") is None
        assert tx.listings(OURS).deployment_id("churn") == listing.deployment_id
        with pytest.raises(NotFound):
            tx.listings(THEIRS).deployment_id("churn")


def test_an_offer_is_replaced_and_there_is_one_for_a_deployment(store: AnyStore) -> None:
    listing = offer(store, deploy(store))
    changed = replace(listing, terms=SHARED, updated_at=START + timedelta(1))
    with store.begin() as tx:
        tx.listings(OURS).put(changed)
        with pytest.raises(Conflict, match="offered already"):
            tx.listings(OURS).put(replace(listing, id=ids.new_id(ids.LISTING)))
    with store.read() as tx:
        assert tx.listings(OURS).find("churn") == changed


def test_the_catalogue_holds_what_is_offered_to_the_tenant(store: AnyStore) -> None:
    public = offer(store, deploy(store, "a"))
    shared = offer(store, deploy(store, "b"), SHARED)
    offer(store, deploy(store, "c"), OTHERS)
    with store.read() as tx:
        catalogue = tx.catalogue(THEIRS)
        seen = [public, replace(shared, terms=replace(SHARED, shared_with=()))]
        assert catalogue.list(PageRequest()).items == seen
        assert catalogue.get("ours", "b") == seen[1]
        for publisher, name in (("ours", "c"), ("ours", "none"), ("none", "a"), ("theirs", "a")):
            with pytest.raises(NotFound, match=f"there is no '{publisher}/{name}'"):
                catalogue.get(publisher, name)
        assert tx.catalogue(OURS).list(PageRequest()).items == []
        first = catalogue.list(PageRequest(1))
        second = catalogue.list(PageRequest.parse(1, first.next_cursor))
    assert [*first.items, *second.items] == seen
    assert second.next_cursor is None


def test_a_name_is_a_deployment_or_a_subscription(store: AnyStore) -> None:
    listing = offer(store, deploy(store))
    deploy(store, "mine", THEIRS)
    take(store, listing)
    with pytest.raises(Conflict, match="subscription 'local'"):
        take(store, listing)
    with pytest.raises(Conflict, match="deployment 'mine'"):
        take(store, listing, "mine")
    with pytest.raises(Conflict, match="subscription 'local'"):
        deploy(store, "local", THEIRS)
    take(store, listing, "again")
    deploy(store, "local", OURS)


def test_another_tenants_subscription_is_not_there(store: AnyStore) -> None:
    taken = take(store, offer(store, deploy(store)))
    with store.begin() as tx:
        assert tx.subscriptions(THEIRS).get("local") == taken
        assert tx.subscriptions(OURS).list(PageRequest()).items == []
        with pytest.raises(NotFound):
            tx.subscriptions(OURS).get("local")
        with pytest.raises(NotFound):
            tx.subscriptions(OURS).delete("local")
    with store.begin() as tx:
        tx.subscriptions(THEIRS).delete("local")
        with pytest.raises(NotFound):
            tx.subscriptions(THEIRS).get("local")


Control = SqlControlPlane | MemoryControlPlane


def test_a_subscription_is_a_name_while_its_offer_stands(store: AnyStore, control: Control) -> None:
    deployment = deploy(store)
    listing = offer(store, deployment, SHARED)
    take(store, listing)
    name = WantedName(THEIRS, "local", deployment.id)
    assert control.wanted().subscriptions == [name]

    def offered() -> bool:
        with store.read() as tx:
            seen = tx.subscriptions(THEIRS).get("local").offered
            assert tx.subscriptions(THEIRS).list(PageRequest()).items[0].offered == seen
        assert bool(control.wanted().subscriptions) == seen
        return seen

    assert offered()
    for terms, stands in ((OTHERS, False), (PUBLIC, True)):
        with store.begin() as tx:
            tx.listings(OURS).put(replace(listing, terms=terms))
        assert offered() == stands
    with store.begin() as tx:
        tx.listings(OURS).delete("churn")
        with pytest.raises(NotFound):
            tx.listings(OURS).delete("churn")
    assert not offered()
    # Who offers it again makes a new offer.
    offer(store, deployment)
    assert not offered()


def test_an_offer_goes_with_its_deployment(store: AnyStore, control: Control) -> None:
    listing = offer(store, deploy(store))
    take(store, listing)
    with store.begin() as tx:
        tx.deployments(OURS).delete("churn")
    deploy(store)
    with store.read() as tx:
        assert tx.listings(OURS).find("churn") is None
        assert not tx.subscriptions(THEIRS).get("local").offered
    assert control.wanted().subscriptions == []
