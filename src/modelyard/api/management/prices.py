"""`/api/v1/prices`: the price book."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Services
from modelyard.api.management.instants import utc
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.billing import price as entity
from modelyard.billing import rate as entities
from modelyard.billing import service
from modelyard.billing.rate import MAX_BOUND, MAX_TIERS, Scheme, Unit
from modelyard.core.access import Permission
from modelyard.core.errors import Invalid
from modelyard.core.money import parse_amount
from modelyard.core.pages import Page


class ShortUnit(StrEnum):
    """What the short form of a price is of; `token` is all three kinds of tokens."""

    REQUEST = "request"
    ROW = "row"
    TOKEN = "token"  # noqa: S105
    COMPUTE_SECOND = "compute_second"
    TRAINING_SECOND = "training_second"
    GB_HOUR = "gb_hour"


AmountText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        description="Exact, as text; the currency is the server's.",
        examples=["0.001"],
    ),
]


class NewTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount for units up to a number, that one included; null is without end."""

    amount: AmountText
    up_to: Annotated[int, Meta(ge=1, le=MAX_BOUND)] | None = None


class NewRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a unit costs within one month. Tokens are priced by the million."""

    unit: Unit
    tiers: Annotated[list[NewTier], Meta(min_length=1, max_length=MAX_TIERS)]
    scheme: Annotated[
        Scheme,
        Meta(
            description="`graduated`: the units of each tier cost its amount. `volume`: all units "
            "cost the amount of the tier in which the last one falls."
        ),
    ] = Scheme.GRADUATED
    free: Annotated[
        int, Meta(ge=0, le=MAX_BOUND, description="Units that cost nothing; tiers count after.")
    ] = 0


class NewPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price. Either `unit` and `amount`, for what costs the same from the first unit on, or
    `rates`.
    """

    deployment: Annotated[
        str,
        Meta(
            max_length=63,
            examples=["churn"],
            description="Empty for `training_second` and `gb_hour`, which are the platform's.",
        ),
    ] = ""
    unit: Annotated[ShortUnit | None, Meta(description="What is counted.")] = None
    amount: AmountText | None = None
    input_amount: Annotated[
        str | None,
        Meta(description="Of a million tokens of prompts, where the unit is a token."),
    ] = None
    cached_amount: Annotated[
        str | None,
        Meta(description="Of a million of these that had not to be computed; else as the others."),
    ] = None
    rates: Annotated[
        Annotated[list[NewRate], Meta(max_length=len(Unit))] | None,
        Meta(description="One for each unit. Empty, with a customer: the general price again."),
    ] = None
    minimum: Annotated[
        AmountText | None,
        Meta(description="What a month costs at least in which the deployment was used."),
    ] = None
    customer: Annotated[
        str,
        Meta(
            pattern="^(tnt_[0-9a-f]{32})?$",
            description="The id of the one tenant for which it holds.",
        ),
    ] = ""
    effective_from: Annotated[
        datetime | None, Meta(description="From when on, in the future; null is now.")
    ] = None


class Amount(msgspec.Struct, frozen=True):
    """An exact amount, as text so that no reader turns it into a float."""

    amount: Annotated[str, Meta(examples=["0.001"])]
    currency: Annotated[str, Meta(examples=["USD"])]


class Tier(msgspec.Struct, frozen=True):
    """An amount for units up to a number, that one included; null is without end."""

    amount: str
    up_to: int | None


class Rate(msgspec.Struct, frozen=True):
    """What a unit costs within one month."""

    unit: Unit
    tiers: list[Tier]
    scheme: Scheme
    free: int


class Price(msgspec.Struct, frozen=True):
    """The price of a deployment from a moment on. A newer one follows it.

    `unit`, `price`, `input` and `cached` are its first rate in short, or its three of tokens: for
    a million, `price` of those generated, `input` of those of prompts, `cached` of these that had
    not to be computed. They are null where there are no rates.
    """

    id: str
    deployment: str
    unit: ShortUnit | None
    price: Amount | None
    effective_from: datetime
    input: Amount | None
    cached: Amount | None
    currency: str
    rates: list[Rate]
    minimum: str | None
    customer: str


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
    moment = data.effective_from
    new = service.NewPrice(
        deployment=data.deployment,
        rates=_long_form(data) if data.rates is None else _rates(data, data.rates),
        minimum=None if data.minimum is None else parse_amount(data.minimum),
        customer_id=data.customer,
        effective_from=None if moment is None else utc("effective_from", moment),
    )
    return _shown(services.billing.set_price(caller.tenant_id, new))


def _rates(data: NewPrice, rates: list[NewRate]) -> tuple[entities.Rate, ...]:
    if (data.unit, data.amount, data.input_amount, data.cached_amount) != (None,) * 4:
        raise Invalid("a price has either 'rates' or 'unit' and 'amount', not both")
    return tuple(
        entities.Rate(
            rate.unit,
            tuple(entities.Tier(parse_amount(tier.amount), tier.up_to) for tier in rate.tiers),
            rate.scheme,
            rate.free,
        )
        for rate in rates
    )


def _long_form(data: NewPrice) -> tuple[entities.Rate, ...]:
    """The rates of `unit` and `amount`; of tokens all three."""
    if data.unit is None or data.amount is None:
        raise Invalid("a price needs 'unit' and 'amount', or 'rates'")
    amount = parse_amount(data.amount)
    if (data.unit is ShortUnit.TOKEN) != (data.input_amount is not None):
        raise Invalid("a price of tokens, and no other, has an amount for input tokens, too")
    if data.input_amount is None:
        if data.cached_amount is not None:
            raise Invalid("only a price of tokens has an amount for cached ones")
        return (entities.Rate.flat(Unit(data.unit.value), amount),)
    of_input = parse_amount(data.input_amount)
    cached = of_input if data.cached_amount is None else parse_amount(data.cached_amount)
    return (
        entities.Rate.flat(Unit.INPUT_TOKEN, of_input),
        entities.Rate.flat(Unit.CACHED_TOKEN, cached),
        entities.Rate.flat(Unit.OUTPUT_TOKEN, amount),
    )


def _shown(price: entity.Price) -> Price:
    def short(unit: Unit) -> Amount | None:
        rate = price.rate(unit)
        return None if rate is None else Amount(text(rate.tiers[0].amount), price.currency)

    first = price.rates[0].unit if price.rates else None
    tokens = first in entities.TOKENS
    return Price(
        id=price.id,
        deployment=price.deployment,
        unit=None if first is None else ShortUnit.TOKEN if tokens else ShortUnit(first.value),
        price=None if first is None else short(Unit.OUTPUT_TOKEN if tokens else first),
        effective_from=price.effective_from,
        input=short(Unit.INPUT_TOKEN),
        cached=short(Unit.CACHED_TOKEN),
        currency=price.currency,
        rates=shown_rates(price),
        minimum=None if price.minimum is None else text(price.minimum),
        customer=price.customer_id,
    )


def shown_rates(price: entity.Price) -> list[Rate]:
    """The rates of a price as the API tells them."""
    return [
        Rate(
            rate.unit,
            [Tier(text(tier.amount), tier.up_to) for tier in rate.tiers],
            rate.scheme,
            rate.free,
        )
        for rate in price.rates
    ]


def text(amount: Decimal) -> str:
    """An amount as the API tells it: all its digits, no exponent."""
    return format(amount, "f")


prices: Final = Router(
    "/prices",
    route_handlers=[list_prices, set_price],
    tags=["billing"],
    opt=needs(Permission.PRICES_READ, Permission.PRICES_WRITE),
)
