"""`/api/v1/listings`, `/catalogue` and `/subscriptions`: what tenants offer each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.call_examples import CallExample, call_examples
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Name
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.prices import Rate, shown_rates, text
from modelyard.api.management.problems import refusals
from modelyard.billing.price import Price
from modelyard.core.access import Permission
from modelyard.core.errors import NotFound
from modelyard.core.pages import Page
from modelyard.core.tensors import Signature, TensorSpec
from modelyard.registry.model import Reference
from modelyard.tenancy import listing as entity
from modelyard.tenancy.listing import (
    MAX_DESCRIPTION,
    MAX_EXAMPLES,
    MAX_SHARED,
    MAX_TERMS,
    Terms,
)


class Offered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a deployment is to be offered."""

    description: Annotated[
        str,
        Meta(
            max_length=MAX_DESCRIPTION,
            description="What it is for, for those who look.",
            examples=["Tells who will leave."],
        ),
    ] = ""
    terms: Annotated[
        str, Meta(max_length=MAX_TERMS, description="What a subscriber agrees to.")
    ] = ""
    examples: Annotated[
        tuple[Any, ...],
        Meta(max_length=MAX_EXAMPLES, description="Bodies of requests, or anything that helps."),
    ] = ()
    public: Annotated[bool, Meta(description="To all tenants.")] = False
    shared_with: Annotated[
        tuple[str, ...],
        Meta(
            max_length=MAX_SHARED,
            description="Names of tenants. One that does not exist is no error.",
        ),
    ] = ()


class Listing(msgspec.Struct, frozen=True):
    """A deployment that the tenant offers."""

    deployment: str
    description: str
    terms: str
    examples: tuple[Any, ...]
    public: bool
    shared_with: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class Offer(msgspec.Struct, frozen=True):
    """What another tenant offers."""

    publisher: str
    deployment: str
    description: str
    public: bool
    updated_at: datetime


class OfferedPrice(msgspec.Struct, frozen=True):
    """What calls cost your tenant from a moment on: in words, and rate by rate. Where there are no
    rates, nothing.
    """

    effective_from: datetime
    terms: Annotated[str, Meta(examples=["USD per row: 0.01 to 1000, then 0.005, 5 free"])]
    currency: str | None
    rates: list[Rate]
    minimum: str | None


class Detail(Offer, frozen=True, kw_only=True):
    """An offer with all that is to be known before one takes it.

    `task`, `algorithm` and `metrics` are its model's card's; `inputs` and `outputs` what it takes
    and gives now. `price` is what holds at present, null where calls cost nothing; `later_prices`
    are those that will take its place. `calls` are requests to begin with, made from the inputs;
    `examples` are the publisher's own.
    """

    terms: str
    examples: tuple[Any, ...]
    task: str
    algorithm: str
    metrics: dict[str, float]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    price: OfferedPrice | None
    later_prices: list[OfferedPrice]
    calls: tuple[CallExample, ...]


class NewSubscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An offer to take."""

    publisher: Annotated[str, Meta(min_length=1, max_length=200, examples=["acme"])]
    deployment: Annotated[str, Meta(min_length=1, max_length=200, examples=["churn"])]
    terms: Annotated[
        str, Meta(max_length=MAX_TERMS, description="The offer's terms, as they were agreed to.")
    ] = ""
    name: Annotated[
        str, Meta(max_length=200, description="What to call it by; if empty, its own name.")
    ] = ""


class Subscription(msgspec.Struct, frozen=True):
    """An offer that the tenant has taken. It is called by `name`, as long as it is `offered`."""

    name: str
    publisher: str
    deployment: str
    terms: str
    offered: bool
    created_at: datetime


@get("/", summary="List what you offer", responses=refusals(), sync_to_thread=True)
def list_listings(services: Services, caller: Caller, page: Paging) -> Page[Listing]:
    """By deployment."""
    return services.catalogue.listings(caller.tenant_id, page).map(_listed)


@get("/{deployment:str}", summary="Show an offer", responses=refusals(404), sync_to_thread=True)
def show_listing(services: Services, caller: Caller, deployment: Name) -> Listing:
    """As its publisher sees it."""
    return _listed(services.catalogue.listing(caller.tenant_id, deployment))


@put(
    "/{deployment:str}",
    summary="Publish a deployment",
    responses={
        **refusals(404, 413, 415),
        201: ResponseSpec(Listing, description="Offered.", generate_examples=False),
    },
    response_description="Changed.",
    sync_to_thread=True,
)
def publish(
    services: Services, caller: Caller, deployment: Name, data: JSONBody[Offered]
) -> Response[Listing]:
    """Offer it in the catalogue, or change how. Subscribers to whom it is offered no more lose it
    within a second.
    """
    terms = Terms(data.description, data.terms, data.examples, data.public, data.shared_with)
    listing, created = services.catalogue.publish(caller.tenant_id, deployment, terms)
    return Response(_listed(listing), status_code=201 if created else 200)


@delete(
    "/{deployment:str}", summary="Withdraw an offer", responses=refusals(404), sync_to_thread=True
)
def withdraw(services: Services, caller: Caller, deployment: Name) -> None:
    """Its subscribers lose it within a second; what is being answered is still answered. To offer
    it again makes a new offer.
    """
    services.catalogue.withdraw(caller.tenant_id, deployment)


@get("/", summary="Browse the catalogue", responses=refusals(), sync_to_thread=True)
def list_offers(services: Services, caller: Caller, page: Paging) -> Page[Offer]:
    """What other tenants offer to yours, oldest first."""
    return services.catalogue.offers(caller.tenant_id, page).map(_offer)


@get(
    "/{publisher:str}/{deployment:str}",
    summary="Show what is offered",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_offer(services: Services, caller: Caller, publisher: Name, deployment: Name) -> Detail:
    """With its terms, price, examples, the model's card and its tensors."""
    offer = services.catalogue.offer(caller.tenant_id, publisher, deployment)
    return _detailed(services, caller.tenant_id, offer)


@get("/", summary="List subscriptions", responses=refusals(), sync_to_thread=True)
def list_subscriptions(services: Services, caller: Caller, page: Paging) -> Page[Subscription]:
    """By name."""
    return services.catalogue.subscriptions(caller.tenant_id, page).map(_subscribed)


@get("/{name:str}", summary="Show a subscription", responses=refusals(404), sync_to_thread=True)
def show_subscription(services: Services, caller: Caller, name: Name) -> Subscription:
    """With the terms that were agreed to."""
    return _subscribed(services.catalogue.subscription(caller.tenant_id, name))


@post(
    "/",
    summary="Subscribe",
    responses=refusals(404, 409, 413, 415, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def subscribe(services: Services, caller: Caller, data: JSONBody[NewSubscription]) -> Subscription:
    """Take an offer: within a second it can be called by its name, on the tenant's own keys and
    bill. The terms must be those that the offer has at that moment.
    """
    name = data.name or data.deployment
    return _subscribed(
        services.catalogue.subscribe(
            caller.tenant_id, data.publisher, data.deployment, name, data.terms
        )
    )


@delete("/{name:str}", summary="Unsubscribe", responses=refusals(404), sync_to_thread=True)
def unsubscribe(services: Services, caller: Caller, name: Name) -> None:
    """What was used is billed; what is being answered is still answered."""
    services.catalogue.unsubscribe(caller.tenant_id, name)


def _listed(listing: entity.Listing) -> Listing:
    terms = msgspec.structs.asdict(listing.terms)
    return Listing(
        deployment=listing.deployment,
        created_at=listing.created_at,
        updated_at=listing.updated_at,
        **terms,
    )


def _offer(listing: entity.Listing) -> Offer:
    return Offer(
        listing.publisher,
        listing.deployment,
        listing.terms.description,
        listing.terms.public,
        listing.updated_at,
    )


def _detailed(services: Services, customer_id: str, listing: entity.Listing) -> Detail:
    deployed = services.deployments.get(listing.tenant_id, listing.deployment)
    target = deployed.status.target
    if target is None:
        raise NotFound(f"there is no '{listing.publisher}/{listing.deployment}' in the catalogue")
    reference = Reference(target.model, version=target.number)
    version = services.registry.version(listing.tenant_id, reference)
    signature = version.signature or Signature((), ())
    asked = services.billing.asked_of(customer_id, listing.tenant_id, listing.deployment)
    return Detail(
        **msgspec.structs.asdict(_offer(listing)),
        terms=listing.terms.terms,
        examples=listing.terms.examples,
        task=version.card.task,
        algorithm=version.card.algorithm,
        metrics=version.card.metrics,
        inputs=signature.inputs,
        outputs=signature.outputs,
        price=None if asked.now is None else _priced(asked.now.effective_from, asked.now),
        later_prices=[_priced(start, price) for start, price in asked.later],
        calls=call_examples(listing.deployment, signature, version.card.task),
    )


def _priced(start: datetime, price: Price | None) -> OfferedPrice:
    if price is None:
        return OfferedPrice(start, "nothing", None, [], None)
    minimum = None if price.minimum is None else text(price.minimum)
    return OfferedPrice(start, price.terms, price.currency, shown_rates(price), minimum)


def _subscribed(subscription: entity.Subscription) -> Subscription:
    return Subscription(
        subscription.name,
        subscription.publisher,
        subscription.deployment,
        subscription.terms,
        subscription.offered,
        subscription.created_at,
    )


listings: Final = Router(
    "/listings",
    route_handlers=[list_listings, show_listing, publish, withdraw],
    tags=["catalogue"],
    opt=needs(Permission.CATALOGUE_READ, Permission.CATALOGUE_PUBLISH),
)
catalogue: Final = Router(
    "/catalogue",
    route_handlers=[list_offers, show_offer],
    tags=["catalogue"],
    opt=needs(Permission.CATALOGUE_READ),
)
subscriptions: Final = Router(
    "/subscriptions",
    route_handlers=[list_subscriptions, show_subscription, subscribe, unsubscribe],
    tags=["catalogue"],
    opt=needs(Permission.CATALOGUE_READ, Permission.CATALOGUE_SUBSCRIBE),
)
