"""What tenants offer each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from modelyard_client.billing import Rate
from modelyard_client.pages import Page, collect
from modelyard_client.transport import Transport, route

SETTLE_SECONDS: Final = 1.0
"""What changes on the server has reached all its gateways after this time."""


class Listing(msgspec.Struct, frozen=True):
    """A deployment that your tenant offers."""

    deployment: str
    description: str = ""
    terms: str = ""
    examples: list[Any] = []
    public: bool = False
    shared_with: list[str] = []


class OfferedPrice(msgspec.Struct, frozen=True):
    """What calls cost your tenant from a moment on: `terms` in words, and rate by rate. Without
    rates, nothing.
    """

    effective_from: datetime
    terms: str
    currency: str | None = None
    rates: Sequence[Rate] = ()
    minimum: Decimal | None = None


class CallExample(msgspec.Struct, frozen=True):
    """A request that the deployment answers, by protocol `v2`, `v1` or `openai`."""

    protocol: str
    method: str
    path: str
    body: dict[str, Any]


class Offer(msgspec.Struct, frozen=True):
    """What another tenant offers. Lists leave out all but the first four.

    `price` is what holds at present, None where calls cost nothing; `later_prices` will take its
    place. `calls` are requests to begin with; `examples` are the publisher's own.
    """

    publisher: str
    deployment: str
    description: str = ""
    public: bool = False
    terms: str = ""
    examples: list[Any] = []
    task: str = ""
    algorithm: str = ""
    metrics: dict[str, float] = {}
    inputs: list[dict[str, Any]] = []
    outputs: list[dict[str, Any]] = []
    price: OfferedPrice | None = None
    later_prices: Sequence[OfferedPrice] = ()
    calls: Sequence[CallExample] = ()


class Subscription(msgspec.Struct, frozen=True):
    """An offer that your tenant has taken; it is called by `name` as long as it is `offered`."""

    name: str
    publisher: str
    deployment: str
    terms: str
    offered: bool
    created_at: datetime


class Catalogue:
    """`/api/v1/listings`, `/catalogue` and `/subscriptions`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def publish(
        self,
        deployment: str,
        *,
        description: str = "",
        terms: str = "",
        examples: Sequence[Any] = (),
        shared_with: Sequence[str] | None = None,
    ) -> Listing:
        """Offer a deployment to all tenants, or only to those named; or change the offer."""
        body = {
            "description": description,
            "terms": terms,
            "examples": examples,
            "public": shared_with is None,
            "shared_with": shared_with or (),
        }
        return self._transport.request("PUT", route("listings", deployment), Listing, body=body)

    def withdraw(self, deployment: str) -> None:
        """Offer it no more."""
        self._transport.request("DELETE", route("listings", deployment), type(None))

    def published(self, limit: int = 1000) -> Sequence[Listing]:
        """What your tenant offers, by deployment."""
        return collect(self._transport, route("listings"), Page[Listing], limit)

    def offers(self, limit: int = 1000) -> Sequence[Offer]:
        """What other tenants offer to yours, oldest first."""
        return collect(self._transport, route("catalogue"), Page[Offer], limit)

    def offer(self, publisher: str, deployment: str) -> Offer:
        """One offer, with its terms, price, examples and the model's card."""
        return self._transport.request("GET", route("catalogue", publisher, deployment), Offer)

    def subscribe(
        self,
        publisher: str,
        deployment: str,
        *,
        terms: str = "",
        name: str | None = None,
        settle: float = SETTLE_SECONDS,
    ) -> Subscription:
        """Take an offer, agreeing to its `terms` by their text.

        Returns after `settle` seconds more, so that every gateway knows the name when you use it.
        """
        body = {"publisher": publisher, "deployment": deployment, "terms": terms}
        if name:
            body["name"] = name
        made = self._transport.request("POST", route("subscriptions"), Subscription, body=body)
        time.sleep(settle)
        return made

    def unsubscribe(self, name: str) -> None:
        """Give it up."""
        self._transport.request("DELETE", route("subscriptions", name), type(None))

    def subscriptions(self, limit: int = 1000) -> Sequence[Subscription]:
        """What your tenant has taken, by name."""
        return collect(self._transport, route("subscriptions"), Page[Subscription], limit)
