"""`/api/v1/prices`: the price book."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.billing import price as entity
from modelyard.billing.price import Unit
from modelyard.core.access import Permission
from modelyard.core.money import Money
from modelyard.core.pages import Page


class NewPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price from now on."""

    deployment: Annotated[str, Meta(min_length=1, max_length=63, examples=["churn"])]
    unit: Annotated[Unit, Meta(description="What is counted.", examples=["request"])]
    amount: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=40,
            description="Exact, as text; the currency is the server's.",
            examples=["0.001"],
        ),
    ]
    input_amount: Annotated[
        str | None,
        Meta(description="Of a million tokens of prompts, where the unit is a token."),
    ] = None
    cached_amount: Annotated[
        str | None,
        Meta(description="Of a million of these that had not to be computed; else as the others."),
    ] = None


class Amount(msgspec.Struct, frozen=True):
    """An exact amount, as text so that no reader turns it into a float."""

    amount: Annotated[str, Meta(examples=["0.001"])]
    currency: Annotated[str, Meta(examples=["USD"])]


class Price(msgspec.Struct, frozen=True):
    """The price of one unit of a deployment from a moment on. A newer one follows it.

    Prices of tokens are for a million: `price` of those generated, `input` of those of prompts,
    `cached` of these that had not to be computed.
    """

    id: str
    deployment: str
    unit: Unit
    price: Amount
    effective_from: datetime
    input: Amount | None
    cached: Amount | None


@get("/", summary="List prices", responses=refusals(), sync_to_thread=True)
def list_prices(services: Services, caller: Caller) -> Page[Price]:
    """All of them on one page, newest first."""
    return Page([_shown(price) for price in services.billing.prices(caller.tenant_id)])


@post(
    "/",
    summary="Set a price",
    responses=refusals(409, 413, 415, 422),
    operation_class=Idempotent,
    sync_to_thread=True,
)
def set_price(services: Services, caller: Caller, data: JSONBody[NewPrice]) -> Price:
    """Requests that begin from now on cost this; earlier ones keep their price."""
    price = services.billing.set_price(
        caller.tenant_id,
        data.deployment,
        data.unit,
        data.amount,
        data.input_amount,
        data.cached_amount,
    )
    return _shown(price)


def _shown(price: entity.Price) -> Price:
    return Price(
        id=price.id,
        deployment=price.deployment,
        unit=price.unit,
        price=_amount(price.price),
        effective_from=price.effective_from,
        input=None if price.input is None else _amount(price.input),
        cached=None if price.cached is None else _amount(price.cached),
    )


def _amount(money: Money) -> Amount:
    return Amount(format(money.amount, "f"), money.currency)


prices: Final = Router(
    "/prices",
    route_handlers=[list_prices, set_price],
    tags=["billing"],
    opt=needs(Permission.PRICES_READ, Permission.PRICES_WRITE),
)
